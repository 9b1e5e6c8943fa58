"""Use cases, and `ports`: the list of what they need from the outside."""
