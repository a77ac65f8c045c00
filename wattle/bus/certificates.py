"""Certificates for a bus that other hosts may reach: one authority and one host, of this user's making. Apart from the
rest, because the library that makes them takes time to import."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import Any

from wattle.bus.private import write_private
from wattle.core.errors import InvalidRequest, NotAvailable

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
except ImportError:
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True

YEARS = 5


def make_tls(folder: Path, host: str, *, now: dt.datetime) -> None:
    """Make an authority and a certificate for `host` (a name or an address) in `folder`: ca.pem to give away, host.pem
    and host.key for the router. The authority's key is not kept.

    Raises:
        NotAvailable: the library that makes certificates is not installed.
        InvalidRequest: they cannot be written.
    """
    if not HAS_CRYPTOGRAPHY:
        raise NotAvailable("Certificates are made by the package cryptography, which is not installed.",
                           "pip install cryptography")  # fmt: skip
    authority_key, host_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Wattle bus")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    authority = _certificate(issuer, issuer, authority_key.public_key(), now).add_extension(constraints, critical=True)
    named = _certificate(subject, issuer, host_key.public_key(), now)
    named = named.add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
    named = named.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    files = {
        "ca.pem": authority.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        "host.pem": named.sign(authority_key, hashes.SHA256()).public_bytes(pem),
        "host.key": host_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, data in files.items():
            write_private(folder / name, data.decode("ascii"))
    except OSError as error:
        raise InvalidRequest(f"The certificates cannot be written into {folder}: {os.strerror(error.errno or 0)}.",
                             "name another folder") from None  # fmt: skip


def _certificate(subject: Any, issuer: Any, key: Any, now: dt.datetime) -> Any:
    begin = now - dt.timedelta(days=1)
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(begin)
            .not_valid_after(now + dt.timedelta(days=365 * YEARS)))  # fmt: skip


def _alternative(host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
