"""Does the backend list exactly what is ours, for the sweep that cancels what no execution owns any more?"""

from __future__ import annotations

from flytepath.plugin.backend import OwnedJob
from flytepath.plugin.plans import Plan
from flytepath.testing.backend_conformance.scene import Scene, scenario, stored
from flytepath.testing.backend_conformance.stage import Stage
from flytepath.testing.findings import refuse


class OwnChecks(Stage):
    """The checks of ``list_owned``."""

    @scenario
    async def test_exactly_our_jobs_are_listed(self, scene: Scene) -> None:
        """All live jobs of the installation with their stamps, over all pages, and none of anybody else's."""
        ours = [scene.plan() for _ in range(self.crowd)]
        theirs = [scene.plan(installation=f"{scene.installation}-more"), scene.plan(installation="elsewhere")]
        handles = {plan.key: await scene.submit(plan) for plan in [*ours, *theirs]}
        listed = await self._listed(scene, ours)
        for plan in ours:
            [job] = [job for job in listed if job.key == plan.key]
            if (job.owner, job.digest) != (plan.owner, plan.digest) or stored(job.handle) != handles[plan.key]:
                refuse(
                    "list_owned() tells another stamp, or another handle, than was submitted",
                    place=scene.place("list_owned"),
                    expected=f"{plan.owner!r}, {plan.digest}, {handles[plan.key]!r}",
                    actual=f"{job.owner!r}, {job.digest}, {job.handle!r}",
                    hint="stamp owner, key and digest so that they can be read back whole",
                )
        for plan in [*ours, *theirs]:
            await scene.cancelled(plan.key, handles[plan.key])
        left = [job for job in (await scene.owned())[0] if job.observation is None or not _ended(job)]
        if left:
            refuse(
                "list_owned() lists cancelled jobs as if they lived",
                place=scene.place("list_owned"),
                actual=repr(left[:2]),
                hint="leave jobs out that have ended, or give their observation",
            )

    @scenario
    async def test_a_sweep_spares_what_is_not_ours(self, scene: Scene) -> None:
        """Cancelling all that is listed leaves other installations' jobs, and jobs without a stamp, as they were."""
        mine, theirs = scene.plan(), scene.plan(installation="elsewhere")
        await scene.submit(mine)
        other = await scene.submit(theirs)
        foreign = await scene.vendor_does(scene.vendor.make_foreign, scene.plan().external_name)
        for job in await self._listed(scene, [mine]):
            await scene.cancelled(job.key, stored(job.handle))
        if await scene.vendor_does(scene.vendor.live, mine.key):
            refuse(
                "a listed job cannot be cancelled by the handle it is listed with",
                place=scene.place("list_owned"),
                hint="make handles in one place",
            )
        if not await scene.vendor_does(scene.vendor.live, theirs.key) or not await scene.vendor_does(
            scene.vendor.is_untouched, foreign
        ):
            refuse(
                "the sweep of one installation touched what is not its own",
                place=scene.place("cancel"),
                hint="list by the exact stamp of the installation, cancel by the id in the handle",
            )
        await scene.cancelled(theirs.key, other)

    async def _listed(self, scene: Scene, ours: list[Plan]) -> list[OwnedJob]:
        """The listing, once it shows our jobs: it may lag behind, but it never shows a job twice or another's."""
        wanted = {plan.key for plan in ours}

        async def look() -> list[OwnedJob] | None:
            jobs, pages = await scene.owned()
            if not jobs and scene.declaration.idempotency == "C":
                self.skip("the backend declares idempotency C: its vendor lists no jobs")
            seen = [job.key for job in jobs]
            strangers = [job for job in jobs if job.key not in wanted]
            if strangers or len(seen) != len(set(seen)):
                refuse(
                    "list_owned() lists what is not this installation's" if strangers else "a job is listed twice",
                    place=scene.place("list_owned"),
                    expected=f"{len(wanted)} jobs of {scene.installation}, each once, over {pages} page(s)",
                    actual=f"{len(jobs)} jobs; {strangers[:2]!r}",
                    hint="compare the installation exactly (not its beginning), and take each page from its cursor",
                )
            return jobs if len(jobs) == len(wanted) else None

        hint = "follow the vendor's pages to the end: the cursor that came with one page gives the next"
        return await scene.until("the listing of all our jobs", look, hint)


def _ended(job: OwnedJob) -> bool:
    seen = job.observation
    return seen is not None and (seen.gone or (seen.phase is not None and seen.phase.is_terminal))
