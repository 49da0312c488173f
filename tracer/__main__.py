"""`python -m tracer` is the command `tracer`."""

from tracer.commands import main

if __name__ == "__main__":
    main()
