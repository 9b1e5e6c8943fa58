"""Requests signed as AWS wants it (Signature Version 4).

Owns: the headers that prove a key. Does not own: the request (`minting`). The library comes with the extra `aws`.
"""

from __future__ import annotations

from tokenkeep.core.minting import AwsKey


class SignerMissing(Exception):
    """The extra `aws` is not installed."""


def signed_headers(key: AwsKey, method: str, url: str, headers: dict[str, str], body: bytes) -> dict[str, str]:
    """`headers` and those that sign them, good for some minutes. Raises SignerMissing."""
    try:
        # Loading it takes longer than all else here, and few need it.
        from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # noqa: PLC0415
        from botocore.credentials import Credentials  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as missing:
        raise SignerMissing from missing
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    session = key.session.reveal() if key.session else None
    credentials = Credentials(key.id, key.secret.reveal(), session)
    SigV4Auth(credentials, key.service, key.region).add_auth(request)
    return {name.lower(): str(value) for name, value in request.headers.items()}
