"""A box office on the web: several worker processes of a pre-forking server sell seats from one store.

From a checkout, with `pip install gunicorn`:

    gunicorn -c python:examples.web.gunicorn_config
    curl -X PUT localhost:8000/shows/hamlet -d '{"seats": ["A1", "A2"]}'
    curl -X POST localhost:8000/shows/hamlet/seats/A1 -d '{"customer": "ada"}'
"""
