"""Finds checks and runs them: one fresh, bounded process a job, and nothing it says is believed unread.

    discovery ─► jobs ─► engine ──────────► nursery ══ control socket ══► worker (a bare Python)
                           │                                                 │ fork, one child a job
                           └── intake ◄══════ pipe of frames ══════════ sandbox, context, the check

`discovery` lists checks, `jobs` holds the values that go in and come out, `engine.run` runs jobs in parallel. The rest is
behind it: `nursery` is our end of a worker server, `worker` its other end, `orders` what a child is told, `messages` what
it may say, `intake` how that is read, `sandbox` what it may do, `context` what a check gets, `extras` what is preloaded.
"""
