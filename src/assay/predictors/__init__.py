"""Adapters that turn model files into something that predicts; they run only inside a worker process."""
