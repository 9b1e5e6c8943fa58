"""HTTP in: parse, call one use case, answer."""
