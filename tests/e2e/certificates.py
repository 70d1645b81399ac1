# SPDX-License-Identifier: LGPL-2.1-or-later
"""A certificate authority of our own, made with openssl(1)."""
import pathlib
import subprocess

from basics import tail

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*args):
    done = subprocess.run(["openssl", *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"openssl {args[0]} failed:\n{tail(done.stderr.decode())}")


class Authority:
    def __init__(self, folder, name):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        openssl("req", "-x509", *KEY, "-keyout", self.key, "-out", self.certificate, "-subj", f"/CN={name}",
                "-days", 2)

    def issue(self, name, address="IP:127.0.0.1", days=2):
        """(certificate, key) for a server or a client; of `days` below 0 it is over already."""
        cert, key, request, extensions = (self.folder / f"{name}.{e}" for e in ("pem", "key", "csr", "ext"))
        extensions.write_text(f"subjectAltName={address}\n")
        openssl("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", cert)
        return cert, key
