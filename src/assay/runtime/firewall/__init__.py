"""The firewall: scans prompts, documents, tool calls and answers against a policy, and says what did not run.

    segments ─► the block of the policy for their role and source ─► scanners with deadlines ─► one verdict

A scanner that did not run is never recorded as passed; what then happens is what the policy declares for it.
"""
