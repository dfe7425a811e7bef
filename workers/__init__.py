"""The workers: they wait for a bell, claim an audit, run it in a child process, and record what came of it.

The parent process lives here: it holds the credentials, talks to the database and the store, and never imports torch or
onnx, nor parses model bytes. Everything that touches a model happens in ``workers.sandbox.child``, in a process of its
own. No mathematics and no HTTP live here.
"""

__all__: list[str] = []
