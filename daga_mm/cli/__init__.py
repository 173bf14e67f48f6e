"""What the command lines in ``tools/`` share.

- ``parser``: arguments.
- ``config``: read a config, changed by the command line.
- ``data``: check the data sets of a config before a run.
- ``runs``: device, mixed precision and runner, as the command line asks for them.
- ``errors``: one line for the user, the traceback in a file.

Import from the modules. Only ``runs`` loads torch, which takes seconds: a tool imports it after it has read its
arguments, so that help and argument errors come at once.
"""
