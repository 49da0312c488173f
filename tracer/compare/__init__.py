"""A/B runs: servers, the load client, and the order in which rounds are driven."""
