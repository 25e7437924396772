"""Why an execution, or one of its nodes, is where it is: facts, each with the event that says so, down to the cause.

Nothing is guessed: a fact is an event of the log, or follows from the graph and the state that the log leads to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from flytepath.client.explanations import Explanation, Fact, Surroundings, fact_of
from flytepath.client.history import Attempt, Attempts, created_of
from flytepath.client.job_explaining import STANDSTILLS, JobFacts
from flytepath.client.job_viewing import wait_words
from flytepath.client.viewing import find_node, items_view, listed
from flytepath.client.wording import NAMED, first_line, ordinal, some, span
from flytepath.engine.expansion import upstream_of
from flytepath.engine.state import ExecutionState, ExecutionStatus, NodeState, NodeStatus
from flytepath.model.events import (
    AbortRequested,
    DeadlinePassed,
    Event,
    ExecutionContinued,
    ExecutionPaused,
    ItemsSucceeded,
    NodeExpanded,
    SignalReceived,
)

#: How many items of a map are explained where many would do.
NAMED_ITEMS: Final = 3


class Explainer:
    """Explains one execution in one state.

    Args:
        execution: its id.
        state, events: where it is, and what led there.
        around: what the log does not say.
    """

    def __init__(self, execution: str, state: ExecutionState, events: Sequence[Event], around: Surroundings) -> None:
        self._execution = execution
        self._state = state
        self._around = around
        self._attempts = Attempts(events)
        self._jobs = JobFacts(state, events, around)
        self._last: dict[tuple[str, str], Event] = {}
        for event in events:
            payload = event.payload
            if isinstance(payload, ItemsSucceeded):
                for index, _, _ in payload.items:
                    self._last[f"{payload.node}/{index}", "node_succeeded"] = event
            else:
                self._last[getattr(payload, "node", None) or "", payload.type] = event
        self._explained: set[str] = set()
        self._told = False

    def explain(self, path: str = "") -> Explanation:
        """Explain a node, or the whole.

        Raises:
            NotFoundError, ExecutionStateError: there is no such node.
        """
        return self._node(find_node(self._state, path)) if path else self._whole()

    # --- a node ---

    def _node(self, node: NodeState) -> Explanation:
        if node.path in self._explained:
            return self._made(node, "explained above")
        self._explained.add(node.path)
        match node.status:
            case NodeStatus.SUCCEEDED:
                return self._succeeded(node)
            case NodeStatus.FAILED:
                return self._failed(node)
            case NodeStatus.SKIPPED:
                return self._skipped(node)
            case NodeStatus.RUNNING:
                return self._running(node)
            case NodeStatus.PAUSED:
                return self._open_gate(node)
            case NodeStatus.WAITING:
                return self._waiting(node)
            case _:
                return self._due(node)

    def _succeeded(self, node: NodeState) -> Explanation:
        event = self._last.get((node.path, "node_succeeded"))
        attempts = self._tried(node)
        ended = fact_of("it has its outputs", event)
        if node.recovered:
            text = f"its outputs were taken over from execution {node.recovered}, which this one recovers"
            return self._made(node, "it did not run: " + text, [fact_of(text, event)])
        if node.cached:
            text = f"its outputs were in the cache, under the key {node.cached}"
            command = f"flytepath cache explain {self._execution} {node.path}"
            return self._made(node, "it did not run: " + text, [fact_of(text, event)], command=command)
        if node.kind == "gate":
            return self._made(node, f"{node.name} is over", [*self._gate_facts(node), ended])
        if node.frame is not None and node.frame.items is not None:
            items = items_view(node.frame.items, ended=True)
            text = f"{items.succeeded} of {items.total} items succeeded" + (
                f", {items.failed} failed, which it tolerates" if items.failed else ""
            )
            return self._made(node, text, [*attempts, ended])
        number = f" in attempt {node.attempt}" if node.attempt > 1 else ""
        return self._made(node, f"it succeeded{number}{self._took(node)}", [*attempts, ended])

    def _failed(self, node: NodeState) -> Explanation:
        event = self._last.get((node.path, "node_failed"))
        error = first_line(node.error)
        if node.origin and node.origin != node.path:
            origin = self._state.find(node.origin)
            causes = [self._node(origin)] if origin is not None else []
            facts = [fact_of(f"it failed by {node.origin}: {error}", event)]
            return self._made(node, f"{node.origin}, which lies below it, failed", facts, causes)
        tried = self._tried(node)
        ended = fact_of(f"it failed for good: {error}", event)
        if node.kind == "gate":
            return self._made(node, error, [*self._gate_facts(node), ended])
        if not self._attempts.of(node.path):
            return self._made(node, f"it failed before it could start: {error}", [ended])
        return self._made(node, f"{error}{self._why_not_again(node)}", [*tried, ended])

    def _why_not_again(self, node: NodeState) -> str:
        last = self._attempts.of(node.path)[-1]
        error = last.error
        if error is None:
            return ""
        if last.outcome == "lost":
            return "; it was lost with its engine too often"
        if not error.recoverable:
            return "; it was not tried again, because another attempt could not help"
        policy = self._state.retry_policy(node)
        user, system = _charged(self._attempts.of(node.path))
        if error.kind in ("user", "timeout"):
            if policy.retries == 0:
                return "; it was not tried again, because its task allows no retries"
            return f"; its {policy.retries} retries are used up" if user > policy.retries else ""
        return (
            f"; the {policy.system} retries after failures of the system are used up" if system > policy.system else ""
        )

    def _skipped(self, node: NodeState) -> Explanation:
        event = self._last.get((node.path, "node_skipped"))
        facts = [*self._tried(node), fact_of(f"it was skipped: {node.reason}", event)]
        causes: list[Explanation] = []
        blocked = [up for up in self._upstream(node) if up.status in (NodeStatus.FAILED, NodeStatus.SKIPPED)]
        frame = self._state.frame_around(node)
        parent = self._state.find(node.parent) if node.parent else None
        if self._state.abort_reason is not None and "aborted" in node.reason:
            facts += self._asked("abort_requested")
        elif self._state.overdue is not None and "too long" in node.reason:
            facts += self._asked("deadline_passed")
        elif blocked:
            causes = [self._node(up) for up in blocked[:NAMED]]
        elif frame.first_failed is not None and (first := self._state.find(frame.first_failed)) is not None:
            causes = [self._node(first)]
        elif parent is not None and parent.status.is_final and parent.status is not NodeStatus.SUCCEEDED:
            causes = [self._node(parent)]
        return self._made(node, f"it was skipped: {node.reason}", facts, causes)

    def _running(self, node: NodeState) -> Explanation:
        tried = self._tried(node)
        if node.frame is not None and node.frame.items is not None:
            return self._running_map(node)
        if node.frame is not None and node.path not in self._state.running:
            children = [self._state.nodes[path] for path in node.frame.children]
            unfinished = [child for child in children if not child.status.is_final]
            facts = [
                *tried,
                Fact(text=f"{len(children) - len(unfinished)} of {len(children)} nodes below it have ended"),
            ]
            names = some([child.path for child in unfinished])
            causes = [self._node(child) for child in _liveliest(unfinished)[:NAMED]]
            return self._made(node, f"it waits for {names} below it" if names else "it is about to end", facts, causes)
        if node.is_remote:
            return self._running_remotely(node, tried)
        attempt = f" in attempt {node.attempt}" if node.attempt > 1 else ""
        facts = list(tried)
        if node.task is not None and node.task.timeout_seconds:
            facts.append(Fact(text=f"an attempt may take {node.task.timeout_seconds:g} s"))
        undriven = self._undriven()
        if not self._around.is_driven:
            command = self._resume() if undriven else ""
            return self._made(node, "it ran when its engine ended", [*facts, *undriven], command=command)
        calls = [self._state.nodes[path] for path in (node.frame.children if node.frame is not None else [])]
        causes = [self._node(call) for call in calls if not call.status.is_final][:NAMED]
        return self._made(node, f"it runs{attempt}{self._took(node)}", facts, causes)

    def _running_remotely(self, node: NodeState, tried: Sequence[Fact]) -> Explanation:
        """What is done for the job of a node; it goes on at its vendor also where nobody drives the execution."""
        told, facts, command = self._jobs.explain(node.path)
        undriven = self._undriven()
        if undriven:
            command = self._resume()
            told = f"{told}, as far as was seen when its engine ended"
        return self._made(node, told, [*tried, *facts, *undriven], command=command)

    def _running_map(self, node: NodeState) -> Explanation:
        items = node.frame.items if node.frame is not None else None
        if items is None:
            return self._made(node, "it runs")
        counts = items_view(items, ended=False)
        text = f"{counts.succeeded} of {counts.total} items have succeeded"
        parts = [f"{n} {what}" for what in ("running", "retrying", "failed", "waiting") if (n := getattr(counts, what))]
        limit = node.spec.map.concurrency if node.spec.map is not None else None
        facts = [Fact(text=f"at most {limit} items run at a time")] if limit else []
        facts += [*self._jobs.of_map(node.path), *self._undriven()]
        slow = sorted(items.under_way(), key=lambda item: item.started_at or float("inf"))
        blocked = [item for item in slow if item.status is not NodeStatus.READY] or slow
        causes = [self._node(item) for item in blocked[:NAMED_ITEMS]]
        return self._made(node, f"{text}: {', '.join(parts)}" if parts else text, facts, causes)

    def _open_gate(self, node: NodeState) -> Explanation:
        gate = node.spec.gate
        facts = self._gate_facts(node)
        until = node.due if node.due is not None else node.expires
        left = "" if until is None else f" {span(max(0.0, until - self._around.now))}"
        if gate is None or gate.kind == "sleep":
            return self._made(node, f"it sleeps for another{left}", [*facts, *self._undriven()])
        if until is not None:
            facts.append(Fact(text=f"it fails if nobody answers within{left}"))
        answer = "--approve (or --reject)" if gate.kind == "approve" else f"VALUE ({gate.type})"
        command = f"flytepath executions signal {self._execution} {gate.signal or node.path} {answer}"
        waits = "an approval" if gate.kind == "approve" else "a value"
        summary = f"it waits for {waits}: nobody has answered {gate.signal or node.path} yet"
        return self._made(node, summary, [*facts, *self._undriven()], command=command)

    def _waiting(self, node: NodeState) -> Explanation:
        upstream = [up for up in self._upstream(node) if up.status is not NodeStatus.SUCCEEDED]
        if upstream:
            names = some([f"{up.path} ({up.status})" for up in upstream])
            return self._made(node, f"it waits for {names}", (), [self._node(up) for up in upstream[:NAMED]])
        parent = self._state.find(node.parent) if node.parent else None
        items = parent.frame.items if parent is not None and parent.frame is not None else None
        if items is None or parent is None:
            return self._made(node, "it waits")
        text = f"it has not begun: {items.live} items of {parent.path} are under way, at most {items.limit} at a time"
        return self._made(node, text, (), [self._node(parent)])

    def _due(self, node: NodeState) -> Explanation:
        """Why a node that could start does not: the strongest reason first."""
        state = self._state
        facts = self._tried(node)
        stopped = state.why_stopped(node.path) if node.path in state.nodes else None
        if stopped is not None:
            return self._made(node, f"it will not start, because {stopped}", [*facts, *self._asked("abort_requested")])
        if state.paused is not None:
            command = f"flytepath executions continue {self._execution}"
            summary = f"the execution is paused{f': {state.paused}' if state.paused else ''}"
            return self._made(node, summary, [*facts, *self._asked("execution_paused")], command=command)
        if not self._around.is_driven:
            undriven = self._undriven()
            command = self._resume() if undriven else ""
            return self._made(node, "no engine drives the execution", [*facts, *undriven], command=command)
        if node.status is NodeStatus.RETRYING and (node.retry_at or 0) > self._around.now:
            due = (node.retry_at or 0) - self._around.now
            return self._made(
                node, f"attempt {node.attempt + 1} is due in {span(due)}: {first_line(node.error)}", facts
            )
        elsewhere = self._around.computing(node)
        if elsewhere is not None:
            return self._made(node, f"its outputs are being computed by {elsewhere}", facts)
        wait = self._around.waits_at(node.path)
        if wait is not None:
            return self._made(node, f"it is ready, and waits for {wait_words(wait)}", facts)
        if not state.running or node.is_remote:
            return self._made(node, "it is ready, and about to start", facts)
        running = some(list(state.running))
        facts.append(Fact(text=f"{len(state.running)} attempts of this execution run: {running}"))
        return self._made(node, "it is ready, and waits for a free slot", facts)

    # --- the whole ---

    def _whole(self) -> Explanation:
        state = self._state
        created = created_of(state)
        first = self._last.get(("", "execution_created"))
        asker = f"{first.actor.kind} {first.actor.name}" if first is not None else "somebody"
        facts = [fact_of(f"{asker} asked for {created.workflow}@{created.workflow_version}", first)]
        if created.recovers:
            facts.append(fact_of(f"it takes over what succeeded in execution {created.recovers}", first))
        if created.relaunches:
            facts.append(fact_of(f"it repeats execution {created.relaunches}", first))
        if created.plan:
            facts.append(fact_of(f"the schedule of launch plan {created.plan} asked for it", first))
        owned = self._last.get(("", "execution_owned"))
        if owned is not None:
            facts.append(fact_of(f"an engine took it, for the {ordinal(state.epoch)} time", owned))
        if state.paused is None:
            facts += self._asked("execution_continued")
        facts += [*self._asked("execution_paused")] if state.paused is not None else []
        facts += [*self._asked("abort_requested"), *self._asked("deadline_passed")]
        if state.status.is_final:
            return self._ended(facts)
        if state.deadline is not None:
            left = span(max(0.0, state.deadline - self._around.now))
            facts.append(fact_of(f"it is ended if it takes longer than another {left}", first))
        facts += self._undriven()
        nodes = [node for node in listed(state) if not node.status.is_final]
        leaves = [node for node in nodes if node.frame is None or node.frame.items is not None]
        causes = [self._node(node) for node in _liveliest(leaves)[:NAMED]]
        return self._answer("", state.spec.name, "execution", self._why_running(leaves), facts, causes, self._move())

    def _why_running(self, leaves: Sequence[NodeState]) -> str:
        if self._state.abort_reason is not None:
            return "it was asked to end, and what runs is being ended"
        if not self._around.is_driven:
            return "no engine drives it" if self._state.epoch else "no engine has taken it yet"
        if self._state.paused is not None:
            return f"it is paused{f': {self._state.paused}' if self._state.paused else ''}"
        words = {
            NodeStatus.RUNNING: "run",
            NodeStatus.PAUSED: "wait for an answer or a time",
            NodeStatus.RETRYING: "are tried again",
            NodeStatus.READY: "wait for a free slot",
            NodeStatus.WAITING: "wait for others",
        }
        counts = Counter(self._jobs.standstill(node.path) or words.get(node.status, "") for node in leaves)
        parts = [f"{counts[what]} {what}" for what in (*words.values(), *STANDSTILLS) if counts[what]]
        return f"of its nodes {', '.join(parts)}" if parts else "it is about to end"

    def _ended(self, facts: list[Fact]) -> Explanation:
        state = self._state
        event = self._last.get(("", f"execution_{state.status}"))
        if event is None:  # an execution that failed by a node is found under the node
            event = next((e for (_, kind), e in self._last.items() if kind == f"execution_{state.status}"), None)
        spent = span((state.ended_at or state.created_at) - state.created_at)
        causes: list[Explanation] = []
        if state.status is ExecutionStatus.SUCCEEDED:
            spans = [
                (node.ended_at - node.started_at, node)
                for node in listed(state)
                if node.started_at is not None and node.ended_at is not None
                if node.is_attempted or node.spec.map is not None
            ]
            for taken, node in sorted(spans, key=lambda pair: -pair[0])[:3]:
                event_of = self._last.get((node.path, "node_succeeded"))
                facts.append(fact_of(f"{node.path} {node.name} took {span(taken)}", event_of))
            summary = f"it succeeded after {spent}"
        elif state.status is ExecutionStatus.ABORTED:
            summary = f"somebody aborted it after {spent}{f': {state.abort_reason}' if state.abort_reason else ''}"
        else:
            failed = self._state.find(state.failed_node) if state.failed_node else None
            causes = [self._node(failed)] if failed is not None else []
            summary = f"{state.failed_node or 'it'} failed after {spent}: {first_line(state.error)}"
        facts.append(fact_of(f"it {state.status}" if state.status != "aborted" else "it ended", event))
        return self._answer("", state.spec.name, "execution", summary, facts, causes, "")

    def _move(self) -> str:
        if not self._around.is_driven:
            return self._resume()
        return f"flytepath executions continue {self._execution}" if self._state.paused is not None else ""

    # --- facts ---

    def _tried(self, node: NodeState) -> list[Fact]:
        """What became of each attempt, and which budget a failure was charged to."""
        policy = self._state.retry_policy(node)
        attempts = self._attempts.of(node.path)
        facts: list[Fact] = []
        for place, attempt in enumerate(attempts, 1):
            started = f"attempt {attempt.number} "
            spent = "" if attempt.ended_at is None else f" after {span(attempt.ended_at - attempt.started_at)}"
            if attempt.outcome == "running":
                running = span(max(0.0, self._around.now - attempt.started_at))
                facts.append(Fact(text=f"{started}has run for {running}", seq=attempt.started, at=attempt.started_at))
                continue
            if attempt.outcome in ("succeeded", "stopped"):
                text = f"{started}{'succeeded' if attempt.outcome == 'succeeded' else 'was stopped'}{spent}"
            elif attempt.outcome == "lost":
                text = f"{started}was lost with its engine{spent}, which is charged to no budget"
            else:
                user, system = _charged(attempts[:place])
                by_user = attempt.error is not None and attempt.error.kind in ("user", "timeout")
                used, budget = (user, policy.retries) if by_user else (system, policy.system)
                whose = "user" if by_user else "system"
                what = "took too long" if attempt.error is not None and attempt.error.kind == "timeout" else "failed"
                charged = f"{whose} failure {used}, {budget} retries allowed"
                text = f"{started}{what}{spent}: {first_line(attempt.error)} ({charged})"
                pause = 0.0 if attempt.retry_at is None else attempt.retry_at - (attempt.ended_at or 0.0)
                text += f"; the next was due {span(pause)} later" if pause > 0.05 else ""
            facts.append(Fact(text=text, seq=attempt.ended, at=attempt.ended_at))
        return [*facts, *self._grown(node)]

    def _grown(self, node: NodeState) -> list[Fact]:
        """What a node became."""
        event = self._last.get((node.path, "node_expanded"))
        if event is None or not isinstance(event.payload, NodeExpanded):
            return []
        if event.payload.case is not None:
            return [fact_of(f"case {event.payload.case} of it was taken", event)]
        if event.payload.items is not None:
            return [fact_of(f"it has {event.payload.items} items", event)]
        return [fact_of(f"{len(node.frame.children if node.frame is not None else ())} nodes run below it", event)]

    def _gate_facts(self, node: NodeState) -> list[Fact]:
        facts: list[Fact] = []
        opened = self._last.get((node.path, "gate_opened"))
        if opened is not None:
            facts.append(fact_of("it opened", opened))
        answered = self._last.get((node.path, "signal_received"))
        if answered is not None and isinstance(answered.payload, SignalReceived):
            said = {True: "approved it", False: "rejected it", None: "gave a value"}[answered.payload.approved]
            facts.append(fact_of(f"{answered.actor.name} {said}", answered))
        return facts

    def _asked(self, kind: str) -> list[Fact]:
        """Who asked for the whole to stop, pause or go on, if anybody."""
        event = self._last.get(("", kind))
        if event is None:
            return []
        match event.payload:
            case AbortRequested(reason=reason):
                text = f"{event.actor.name} asked for its end"
            case ExecutionPaused(reason=reason):
                text = f"{event.actor.name} paused it"
            case ExecutionContinued():
                text, reason = f"{event.actor.name} let it go on", ""
            case DeadlinePassed(error=error):
                text, reason = error.message, ""
            case _:
                return []
        return [fact_of(f"{text}: {reason}" if reason else text, event)]

    def _undriven(self) -> list[Fact]:
        """That nobody drives the execution: said once."""
        if self._around.is_driven or self._told:
            return []
        self._told = True
        return [fact_of("no engine drives it; this one took it last", self._last.get(("", "execution_owned")))]

    def _resume(self) -> str:
        return f"flytepath executions resume {self._execution}"

    def _upstream(self, node: NodeState) -> list[NodeState]:
        found = (self._state.find(path) for path in sorted(upstream_of(node.spec)))
        return [up for up in found if up is not None]

    # --- answers ---

    def _took(self, node: NodeState) -> str:
        seconds = self._ran(node)
        return "" if seconds is None else (" after " if node.status.is_final else " since ") + span(seconds)

    def _ran(self, node: NodeState) -> float | None:
        if node.started_at is None:
            return None
        return max(0.0, (node.ended_at if node.ended_at is not None else self._around.now) - node.started_at)

    def _made(
        self,
        node: NodeState,
        summary: str,
        facts: Iterable[Fact] = (),
        causes: Sequence[Explanation] = (),
        command: str = "",
    ) -> Explanation:
        made = self._answer(node.path, node.name, node.kind, summary, facts, causes, command)
        waited = None
        if node.ready_at is not None:
            until = node.started_at if node.started_at is not None else node.ended_at
            ready_at = max(node.ready_at, self._state.created_at)
            waited = max(0.0, (self._around.now if until is None else until) - ready_at)
        return made.model_copy(
            update={"status": str(node.status), "waited_seconds": waited, "ran_seconds": self._ran(node)}
        )

    def _answer(
        self,
        node: str,
        name: str,
        kind: str,
        summary: str,
        facts: Iterable[Fact],
        causes: Sequence[Explanation],
        command: str,
    ) -> Explanation:
        state, past = self._state, self._around.past
        ran = (state.ended_at if state.ended_at is not None else self._around.now) - state.created_at
        return Explanation(
            execution=self._execution,
            node=node,
            name=name,
            kind=kind,
            status=state.status,
            summary=summary,
            facts=tuple(facts),
            causes=tuple(causes),
            command="" if past else command,
            ran_seconds=max(0.0, ran),
            seq=state.seq,
            past=past,
        )


def _charged(attempts: Sequence[Attempt]) -> tuple[int, int]:
    """How many of these were charged to the budgets of the user and of the system."""
    failed = [attempt.error for attempt in attempts if attempt.outcome == "failed" and attempt.error is not None]
    user = sum(error.kind in ("user", "timeout") for error in failed)
    return user, len(failed) - user


def _liveliest(nodes: Iterable[NodeState]) -> list[NodeState]:
    """What others wait for comes before what waits for others."""
    order = (NodeStatus.RUNNING, NodeStatus.PAUSED, NodeStatus.RETRYING, NodeStatus.READY, NodeStatus.WAITING)
    return sorted(nodes, key=lambda node: order.index(node.status) if node.status in order else len(order))
