"""How gunicorn serves the box office: some worker processes, each of which opens the store for itself."""

import os

from examples.web.app import app

wsgi_app = "examples.web.app:app"
workers = 4


def post_fork(server: object, worker: object) -> None:
    """In each worker, after the fork: a store that was opened before it would be refused."""
    app.open(os.environ.get("BOX_OFFICE", "box-office"))


def worker_exit(server: object, worker: object) -> None:
    """In each worker, before it ends."""
    app.close()
