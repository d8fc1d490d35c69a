"""Commands on the jobs of a cluster. What speaks with the API server is imported late: that takes a while."""
