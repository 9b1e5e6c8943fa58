"""A provider of our own to try everything with: a small OAuth 2.0 authorization server and its pages.

Owns: a provider that behaves like the real ones (PKCE, rotation, revocation) and where nothing is real.
Does not own: anything of the service itself; it knows the service only as one of its clients.
"""
