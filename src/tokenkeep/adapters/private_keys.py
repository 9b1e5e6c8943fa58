"""Private keys as people paste them.

Owns: reading a PEM block or a JWK, and what such a key signs with. Does not own: what is signed (`token_endpoint`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

Key = RSAKey | ECKey | OKPKey
_CURVE_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}
_PEM = re.compile(r"(-----BEGIN [A-Z ]+-----)(.*?)(-----END [A-Z ]+-----)", re.DOTALL)


def private_key(secret: str) -> tuple[Key, dict[str, str]]:
    """The key and the header that names it, from a PEM block or a JWK.

    Raises:
        JoseError, ValueError: it is neither. A public one fails when it is asked to sign.
    """
    text = secret.strip()
    key = _from_jwk(json.loads(text)) if text.startswith("{") else _from_pem(_with_line_breaks(text))
    return key, {"kid": key.kid} if key.kid else {}


def is_private_key(secret: str) -> bool:
    """Whether it can be read, and is the private half."""
    try:
        return private_key(secret)[0].is_private
    except (JoseError, ValueError):
        return False


def algorithm_of(key: Key) -> str:
    """What the key can sign with; a JWK may say so itself."""
    named = key.get("alg")
    if isinstance(named, str):
        return named
    if isinstance(key, RSAKey):
        return "RS256"
    return _CURVE_ALGORITHMS[key.curve_name] if isinstance(key, ECKey) else "EdDSA"


def _with_line_breaks(pem: str) -> str:
    """Environment files write a line break as two characters, and one-line fields swallow it."""
    return _PEM.sub(_broken, pem.replace("\\n", "\n"))


def _broken(block: re.Match[str]) -> str:
    begin, body, end = block.groups()
    return "\n".join([begin, *body.split(), end])


def _from_jwk(jwk: Any) -> Key:
    key = import_key(jwk)
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        raise ValueError("not an asymmetric key")  # noqa: TRY004 - a matter of the value, whatever its class
    return key


def _from_pem(pem: str) -> Key:
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return kind.import_key(pem)
        except JoseError:
            continue
    raise ValueError("not a key")
