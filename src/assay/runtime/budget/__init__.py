"""What a client may spend: requests, tokens and money in windows of time, reserved before a request goes out.

    reserve (the most that it can cost) ─► send ─► settle (what it did cost)

What was reserved and never settled, because a process was killed, stays spent: nothing bypasses a budget by dying.
"""
