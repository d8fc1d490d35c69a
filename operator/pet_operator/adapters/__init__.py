"""The outside of the operator: API server, launchers, kopf, HTTP, the lease. The only place with I/O."""
