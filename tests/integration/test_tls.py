"""TLS on every way in and out, and certificates that change while everything runs."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from batchscribe.client import Client, errors
from batchscribe.transcriber.v1.transcriber_service_pb2 import WatchStatusRequest
from batchscribe.v1.batch_pb2 import BatchState
from batchscribe.v1.batch_service_pb2 import ListModelsRequest
from batchscribe.v1.batch_service_pb2_grpc import BatchServiceStub

from gateway.link import Link
from servicekit.tls import PemFiles, UnusableCertificate
from tests.certificates import Authority
from tests.running_gateway import KEY, METADATA, RunningGateway, running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.support import free_port

HOST = "127.0.0.1"


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "theirs")


def served(files: PemFiles) -> dict[str, Any]:
    return {"tls_cert_file": files.cert, "tls_key_file": files.key}


def to_transcribers(files: PemFiles) -> dict[str, Any]:
    return {
        "transcriber_cert_file": files.cert,
        "transcriber_key_file": files.key,
        "transcriber_ca_file": files.ca,
    }


async def models(address: str, credentials: grpc.ChannelCredentials | None) -> None:
    """Call the server; raises AioRpcError."""
    channel = (
        grpc.aio.secure_channel(address, credentials)
        if credentials
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        await BatchServiceStub(channel).ListModels(
            ListModelsRequest(), metadata=METADATA, timeout=5
        )


async def shown(gateway: RunningGateway) -> set[str]:
    """Return the certificates that new connections to both ports are shown."""
    ports = [address.rpartition(":")[2] for address in (gateway.address, gateway.http)]
    return {
        await asyncio.to_thread(ssl.get_server_certificate, (HOST, int(port))) for port in ports
    }


async def test_clients_speak_tls_with_those_they_trust(
    redis_url: str, ours: Authority, theirs: Authority
) -> None:
    """Whoever trusts the authority gets through; plain text and other authorities do not."""
    async with running_gateway(redis_url, **served(ours.issue("gateway", HOST))) as gateway:
        await models(gateway.address, PemFiles(ca=ours.ca).channel_credentials())
        for credentials in (None, PemFiles(ca=theirs.ca).channel_credentials()):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await models(gateway.address, credentials)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_client_speaks_tls(redis_url: str, ours: Authority, tmp_path: Path) -> None:
    """The SDK takes the authority from a file; with https:// alone it trusts the public ones."""
    async with running_gateway(redis_url, **served(ours.issue("gateway", HOST))) as gateway:
        for server in (gateway.address, f"https://{gateway.address}"):
            async with Client(server, KEY, ca_file=ours.ca) as client:
                assert [model.name for model in await client.models()] == ["tiny.en"]
        async with Client(f"https://{gateway.address}", KEY, retry_seconds=0) as client:
            with pytest.raises(errors.Unavailable):
                await client.models()
    with pytest.raises(errors.InvalidRequest, match="cannot be read"):
        Client(gateway.address, ca_file=tmp_path / "nothing.pem")


async def test_http_speaks_tls(redis_url: str, ours: Authority) -> None:
    """The HTTP port has the same certificate."""
    settings = served(ours.issue("gateway", HOST))
    context = ssl.create_default_context(cafile=str(ours.ca))
    async with (
        running_gateway(redis_url, http_listen=f"{HOST}:0", **settings) as gateway,
        httpx2.AsyncClient(verify=context) as client,
    ):
        response = await client.get(f"https://{gateway.http}/healthz")
    assert response.json() == {"status": "ok"}


async def test_a_replaced_certificate_is_shown_at_once(redis_url: str, ours: Authority) -> None:
    """Both ports show new connections the new certificate, and the old one if it is no good."""
    files = ours.issue("gateway", HOST)
    assert files.cert
    async with running_gateway(redis_url, http_listen=f"{HOST}:0", **served(files)) as gateway:
        for _ in range(2):
            ours.issue("gateway", HOST)
            newest = {files.cert.read_text()}
            assert await shown(gateway) == newest
        files.cert.write_text("no certificate")
        assert await shown(gateway) == newest


async def test_transcribers_and_gateways_know_each_other(
    redis_url: str, ours: Authority, theirs: Authority
) -> None:
    """With certificates of one authority on both sides work is done."""
    async with (
        running(ScriptedTranscriber(), tls=ours.issue("transcriber", HOST)) as transcriber,
        running_gateway(
            redis_url, [transcriber.address], **to_transcribers(ours.issue("gateway", "gateway"))
        ) as gateway,
    ):
        batch = await gateway.create("http://x/1")
        assert (await gateway.ended(batch.batch_id)).state == BatchState.BATCH_STATE_SUCCEEDED


@pytest.mark.parametrize("host", ["transcriber.test", HOST])
async def test_a_transcriber_has_to_bear_its_name(ours: Authority, host: str) -> None:
    """The certificate has to be for the host of the settings, whatever address that leads to."""
    tls, gateway = ours.issue("transcriber", "transcriber.test"), ours.issue("gateway", "gateway")
    async with running(ScriptedTranscriber(), tls=tls) as transcriber:
        assert await answers(transcriber, host, gateway) is (host == "transcriber.test")


async def test_strangers_get_no_answer_of_a_transcriber(ours: Authority, theirs: Authority) -> None:
    """Without a certificate, or with that of another authority, nobody is let in."""
    stranger, ca_only = theirs.issue("gateway", "gateway"), PemFiles(ca=ours.ca)
    async with running(ScriptedTranscriber(), tls=ours.issue("transcriber", HOST)) as transcriber:
        for files in (ca_only, replace(stranger, ca=ours.ca), None):
            assert not await answers(transcriber, HOST, files)


async def answers(transcriber: ScriptedTranscriber, host: str, files: PemFiles | None) -> bool:
    """Return whether a gateway with these files hears from the transcriber."""
    link = Link(transcriber.address, host, files)
    try:
        return bool(await link.stub.WatchStatus(WatchStatusRequest(), timeout=5).read())
    except grpc.aio.AioRpcError:
        return False
    finally:
        await link.close()


async def test_a_change_of_authority_needs_no_restart(redis_url: str, tmp_path: Path) -> None:
    """When all files have been replaced, a gateway that ran before works with a transcriber that
    knows only the new authority.
    """
    address = f"{HOST}:{free_port()}"

    async def works(gateway: RunningGateway, tls: PemFiles) -> bool:
        async with running(ScriptedTranscriber(), address, tls):
            batch = await gateway.create("http://x/1")
            ended = await asyncio.wait_for(gateway.ended(batch.batch_id), 20)
        return ended.state == BatchState.BATCH_STATE_SUCCEEDED

    old = Authority(tmp_path)
    files = old.issue("gateway", "gateway")
    async with running_gateway(redis_url, [address], **to_transcribers(files)) as gateway:
        assert await works(gateway, old.issue("transcriber", HOST))
        new = Authority(tmp_path)
        new.issue("gateway", "gateway")
        assert await works(gateway, new.issue("transcriber", HOST))


async def test_files_that_do_not_fit_are_named(ours: Authority, tmp_path: Path) -> None:
    """A missing or foreign key ends the start with a sentence that names the files."""
    cert, other = ours.issue("one", HOST).cert, ours.issue("two", HOST).key
    for key in (tmp_path / "nothing.key", other):
        with pytest.raises(UnusableCertificate, match=r"one\.pem"):
            PemFiles(cert, key).server_credentials()
