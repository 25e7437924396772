"""Everything by way of the module, with comments and odd spacing that stay."""
import os, flytekit

CPU = os.cpu_count()      # aligned by hand


@flytekit.task( retries = 2 )
def hello(name: str) -> str:
    ctx = flytekit.current_context()   # the context
    ctx.logging.info("flytekit is only a word in this string")
    return f'hello {name}'


@flytekit.workflow
def greet(name: str = "you") -> str: return hello(name = name)


if __name__ == "__main__":
    assert greet(name="us") == 'hello us'
