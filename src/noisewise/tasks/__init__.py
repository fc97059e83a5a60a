"""What a network is for, measured: a task takes a model and yields the names and values of its metrics."""
