"""Encrypted connections, with a server that has a certificate."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from support import source_of
from vdk.plugin.datasource_base.contract import ConfigurationError
from vdk.plugin.datasource_base.testing.mariadb import Server, running
from vdk.plugin.datasource_sql import SqlSession

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that is its own authority, for 127.0.0.1, with its key in the same file."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(names, critical=False)
    signed = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("tls") / "db.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    return path


@pytest.fixture(scope="module")
def tls_server(certificate: Path) -> Iterator[Server]:
    try:
        with running(f"--ssl-cert={certificate}", f"--ssl-key={certificate}") as server:
            server.query("mysql", "CREATE DATABASE shop")
            server.query("mysql", "CREATE USER reader IDENTIFIED BY 'reader'")
            server.query("mysql", "GRANT SELECT ON shop.* TO reader")
            yield server
    except LookupError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("mode", ["disabled", "preferred", "required", "verify_ca", "verify_identity"])
def test_each_mode(tls_server: Server, certificate: Path, mode: str) -> None:
    """The connection is encrypted but with ``disabled``."""
    authority: dict[str, Any] = {"ssl_ca": str(certificate)} if mode.startswith("verify") else {}
    source = source_of(tls_server, ssl_mode=mode, **authority)
    with SqlSession(source.backend) as session, session.connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        ((_, cipher),) = cursor.fetchall()
    assert bool(cipher) is (mode != "disabled")


def test_a_certificate_of_an_unknown_authority_is_refused(tls_server: Server) -> None:
    """The error names the options."""
    with pytest.raises(ConfigurationError, match="correct ssl_mode, ssl_ca"):
        source_of(tls_server, ssl_mode="verify_ca")


def test_a_certificate_of_another_host_is_refused(tls_server: Server, certificate: Path) -> None:
    url = tls_server.url("shop", user="reader", password="reader").replace("127.0.0.1", "localhost")
    source_of(tls_server, url=url, ssl_mode="verify_ca", ssl_ca=str(certificate))
    with pytest.raises(ConfigurationError, match="correct ssl_mode, ssl_ca"):
        source_of(tls_server, url=url, ssl_mode="verify_identity", ssl_ca=str(certificate))
