"""The channel to one transcriber: plain, or TLS on both sides with certificates that may change."""

import grpc
import structlog
from batchscribe.transcriber.v1.transcriber_service_pb2_grpc import TranscriberServiceStub

from servicekit.serve import CHANNEL_OPTIONS
from servicekit.tls import PemFiles, UnusableCertificate

log = structlog.get_logger()


class Link:
    """A channel and its stub. Raises UnusableCertificate if the files cannot be used."""

    def __init__(self, address: str, host: str, files: PemFiles | None) -> None:
        """``host`` is the name that the transcriber's certificate has to bear."""
        self._address = address
        self._host = host
        self._files = files
        self._open()

    async def renew(self) -> None:
        """Open the channel anew if the certificates are others; calls on the old one end."""
        if self._files is None or self._files.stamp() == self._stamp:
            return
        old = self._channel
        try:
            self._open()
        except UnusableCertificate as error:
            log.error("a new certificate is not used", error=str(error))
        else:
            await old.close()

    async def close(self) -> None:
        await self._channel.close()

    def _open(self) -> None:
        self._stamp = self._files.stamp() if self._files else ()
        self._channel = self._dial()
        self.stub = TranscriberServiceStub(self._channel)

    def _dial(self) -> grpc.aio.Channel:
        if self._files is None:
            return grpc.aio.insecure_channel(self._address, options=list(CHANNEL_OPTIONS))
        # The channel leads to one address of the host, but the certificate is the host's.
        options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", self._host)]
        credentials = self._files.channel_credentials()
        return grpc.aio.secure_channel(self._address, credentials, options=options)
