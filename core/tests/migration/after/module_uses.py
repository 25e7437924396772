"""Everything by way of the module, with comments and odd spacing that stay."""
import os, flytepath

CPU = os.cpu_count()      # aligned by hand


@flytepath.task( retries = 2 )
def hello(name: str) -> str:
    ctx = flytepath.current_context()   # the context
    ctx.logging.info("flytekit is only a word in this string")
    return f'hello {name}'


@flytepath.workflow
def greet(name: str = "you") -> str: return hello(name = name)


if __name__ == "__main__":
    assert greet(name="us") == 'hello us'
