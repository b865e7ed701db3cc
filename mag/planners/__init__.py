"""Planners over a world model's predictions: each a function that knows nothing of the models it plans with."""
