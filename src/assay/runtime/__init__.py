"""What stands in the request path and watches deployed assets."""
