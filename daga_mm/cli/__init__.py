"""What the command lines in ``tools/`` share.

- ``parser``: arguments.
- ``config``: read a config, changed by the command line.
- ``data``: check the data sets of a config before a run.
- ``runs``: device, mixed precision and runner, as the command line asks for them.
- ``errors``: one line for the user, the traceback in a file.

A tool imports ``parser`` and ``errors`` first, and all else after it has read its arguments: help and argument errors
come at once, while torch, which ``runs`` loads, takes seconds.
"""
