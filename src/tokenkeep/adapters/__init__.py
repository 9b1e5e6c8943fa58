"""The outside world behind the ports: database, network, cryptography, timer, clock."""
