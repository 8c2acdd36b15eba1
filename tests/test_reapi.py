"""Our messages against protobuf's own, compiled from tests/reapi.proto: the same bytes, read the same way; and anything may be read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import reapi
from graph.digest import Digest, Directory
from graph.published import Note, folders_of
from graph.reapi import Capabilities, Outcome, Piece
from graph.wire import fields, varint
from tests.remotes import PB

DIGESTS = st.builds(lambda data, size: Digest(Digest.of(data).hash, size), st.binary(max_size=4), st.integers(0, 2**63 - 1))
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
OUTCOMES = st.builds(Outcome, DIGESTS, DIGESTS, st.binary(max_size=99), st.none() | DIGESTS)
PIECES = st.builds(Piece, DIGESTS, st.binary(max_size=99), st.booleans())


def pb(digest: Digest) -> Any:
    return PB.Digest(hash=digest.hash, size_bytes=digest.size)


def ours(digest: Any) -> Digest:
    return Digest(digest.hash, digest.size_bytes)


@given(OUTCOMES)
def test_an_action_result_is_as_protobuf_writes_it(outcome: Outcome) -> None:
    theirs = PB.ActionResult(
        output_files=[PB.OutputFile(path="freestanding.json", digest=pb(outcome.note), contents=outcome.contents)],
        output_directories=[PB.OutputDirectory(path="out", tree_digest=pb(outcome.tree))],
        stdout_digest=pb(outcome.log) if outcome.log else None,
    )
    assert outcome.encode() == theirs.SerializeToString(deterministic=True)
    assert Outcome.decode(outcome.encode()) == outcome


@given(TEXTS)
def test_a_mark_is_a_workers_name(text: str) -> None:
    theirs = PB.ActionResult(execution_metadata=PB.ExecutedActionMetadata(worker=text))
    assert PB.ActionResult.FromString(reapi.encode_mark(text)) == theirs
    assert reapi.decode_mark(theirs.SerializeToString()) == reapi.decode_mark(reapi.encode_mark(text)) == text
    assert reapi.decode_mark(b"") == ""
    with pytest.raises(ValueError):
        Outcome.decode(reapi.encode_mark(text))


@given(OUTCOMES, st.integers(1, 99))
def test_an_action_that_failed_is_no_result(outcome: Outcome, status: int) -> None:
    theirs = PB.ActionResult.FromString(outcome.encode())
    theirs.exit_code = status
    with pytest.raises(ValueError, match="failed"):
        Outcome.decode(theirs.SerializeToString())


@given(st.lists(st.tuples(TEXTS, DIGESTS, st.booleans()), max_size=5), st.lists(st.tuples(TEXTS, TEXTS), max_size=3))
def test_a_tree_is_as_protobuf_writes_it(files: list[tuple[str, Digest, bool]], links: list[tuple[str, str]]) -> None:
    files, links = sorted(files, key=lambda one: one[0].encode()), sorted(links, key=lambda one: one[0].encode())
    root = Directory(tuple(files), (("d", Digest.of(b"")),), tuple(links))
    theirs = PB.Tree(
        root=PB.Directory(
            files=[PB.FileNode(name=name, digest=pb(digest), is_executable=run) for name, digest, run in files],
            directories=[PB.DirectoryNode(name="d", digest=pb(Digest.of(b"")))],
            symlinks=[PB.SymlinkNode(name=name, target=target) for name, target in links],
        ),
        children=[PB.Directory()],
    )
    data = reapi.encode_tree(root.encode(), [b""])
    assert data == theirs.SerializeToString(deterministic=True)
    assert list(reapi.decode_tree(data)) == [root.encode(), b""]


@given(TEXTS, st.lists(DIGESTS, max_size=5), st.booleans())
def test_requests_are_as_protobuf_reads_them(instance: str, digests: list[Digest], zstd: bool) -> None:
    found = PB.FindMissingBlobsRequest.FromString(reapi.find_missing(instance, digests))
    assert (found.instance_name, [ours(one) for one in found.blob_digests]) == (instance, digests)
    read = PB.BatchReadBlobsRequest.FromString(reapi.batch_read(instance, digests, zstd=zstd))
    assert (read.instance_name, [ours(one) for one in read.digests]) == (instance, digests)
    assert list(read.acceptable_compressors) == ([PB.ZSTD] if zstd else [])
    assert PB.GetCapabilitiesRequest.FromString(reapi.get_capabilities(instance)).instance_name == instance
    for digest in digests:
        got = PB.GetActionResultRequest.FromString(reapi.get_action_result(instance, digest))
        assert (got.instance_name, ours(got.action_digest), list(got.inline_output_files)) == (instance, digest, ["freestanding.json"])


@given(TEXTS, DIGESTS, OUTCOMES)
def test_an_update_is_as_protobuf_reads_it(instance: str, action: Digest, outcome: Outcome) -> None:
    found = PB.UpdateActionResultRequest.FromString(reapi.update_action_result(instance, action, outcome.encode()))
    assert (found.instance_name, ours(found.action_digest)) == (instance, action)
    assert found.action_result.SerializeToString(deterministic=True) == outcome.encode()


@given(st.lists(PIECES, max_size=4), st.lists(st.tuples(DIGESTS, st.integers(0, 16)), max_size=4))
def test_batches(pieces: list[Piece], answers: list[tuple[Digest, int]]) -> None:
    sent = PB.BatchUpdateBlobsRequest.FromString(reapi.batch_update("i", pieces))
    assert [Piece(ours(one.digest), one.data, one.compressor == PB.ZSTD) for one in sent.requests] == pieces
    told = PB.BatchUpdateBlobsResponse()
    for digest, code in answers:
        told.responses.add(digest=pb(digest)).status.code = code
    assert reapi.refused_of(told.SerializeToString()) == {digest: code for digest, code in answers if code}
    came = PB.BatchReadBlobsResponse()
    for piece in pieces:
        one = came.responses.add(digest=pb(piece.digest), data=piece.data, compressor=PB.ZSTD if piece.zstd else PB.IDENTITY)
        one.status.message = "a text"
    assert list(reapi.pieces_of(came.SerializeToString())) == pieces
    lacking = PB.FindMissingBlobsResponse(missing_blob_digests=[pb(digest) for digest, _ in answers])
    assert reapi.missing_of(lacking.SerializeToString()) == {digest for digest, _ in answers}


@given(TEXTS, st.integers(0, 2**40), st.binary(max_size=99), st.booleans(), st.integers(-1, 2**40))
def test_byte_streams(name: str, offset: int, data: bytes, finish: bool, size: int) -> None:
    sent = PB.WriteRequest.FromString(reapi.write_request(name, offset, data, finish=finish))
    assert (sent.resource_name, sent.write_offset, sent.data, sent.finish_write) == (name, offset, data, finish)
    assert PB.ReadRequest.FromString(reapi.read_request(name)).resource_name == name
    assert reapi.read_data(PB.ReadResponse(data=data).SerializeToString()) == data
    assert reapi.committed(PB.WriteResponse(committed_size=size).SerializeToString()) == size


@given(st.integers(0, 2**40), st.booleans(), st.booleans())
def test_capabilities(batch: int, zstd: bool, zstd_batch: bool) -> None:
    cache = PB.CacheCapabilities(
        digest_functions=[PB.CacheCapabilities.SHA1, PB.CacheCapabilities.SHA256],
        max_batch_total_size_bytes=batch,
        supported_compressors=[PB.DEFLATE, *([PB.ZSTD] if zstd else [])],
        supported_batch_update_compressors=[PB.ZSTD] if zstd_batch else [],
    )
    told = PB.ServerCapabilities(cache_capabilities=cache).SerializeToString()
    assert Capabilities.decode(told) == Capabilities(batch, zstd, zstd_batch)
    del cache.digest_functions[1:]
    assert not Capabilities.decode(PB.ServerCapabilities(cache_capabilities=cache).SerializeToString()).sha256
    assert Capabilities.decode(b"") == Capabilities()


READERS = [
    Outcome.decode,
    Capabilities.decode,
    Note.decode,
    reapi.missing_of,
    reapi.refused_of,
    reapi.read_data,
    reapi.committed,
    lambda data: list(reapi.pieces_of(data)),
    lambda data: folders_of(Digest.of(b""), data),
    lambda data: list(fields(data)),
]


@given(st.binary(max_size=200), st.sampled_from(READERS))
def test_any_bytes_are_read_or_refused(data: bytes, read: Any) -> None:
    with suppress(ValueError):
        read(data)


@given(OUTCOMES, st.data())
def test_a_damaged_message_is_read_or_refused(outcome: Outcome, data: st.DataObject) -> None:
    whole = outcome.encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    for damaged in (whole[:at], whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]):
        with suppress(ValueError):
            Outcome.decode(damaged)


def test_fixed_fields_of_servers_are_skipped_and_groups_refused() -> None:
    assert list(fields(b"\x09" + b"x" * 8 + b"\x15" + b"y" * 4 + b"\x18\x05")) == [(3, 5)]
    for bad in (b"\x09xxx", b"\x0b", b"\x0a\x05abc", b"\x80", b"\x80" * 11, b"\x08" + varint(2**64) + b"\xff" * 9):
        with pytest.raises(ValueError, match=r"truncated|unexpected"):
            list(fields(bad))


@given(st.dictionaries(TEXTS, st.binary(max_size=64), max_size=3), TEXTS)
def test_a_note_is_read_as_it_was_written(signatures: dict[str, bytes], text: str) -> None:
    note = Note(text, signatures)
    assert Note.decode(note.encode()) == note


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"result": 1, "signatures": {}}',
        b'{"result": "", "signatures": {"a": 1}}',
        b'{"result": "", "signatures": {"a": "!"}}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_note_that_is_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Note.decode(data)


@pytest.mark.parametrize("text", ["-1", "+1", " 1", "1_0", "", "0x1", "\u0661"])
def test_a_digest_has_a_plain_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Digest.parse("a" * 64 + "/" + text)


PROPERTIES = st.dictionaries(TEXTS, TEXTS, max_size=3).map(lambda found: tuple(found.items()))


def platform(properties: tuple[tuple[str, str], ...]) -> Any:
    return PB.Platform(properties=[PB.Platform.Property(name=name, value=value) for name, value in sorted(properties)])


@given(st.lists(TEXTS, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3), st.lists(TEXTS, max_size=2), PROPERTIES)
def test_a_command_is_as_protobuf_writes_it(
    argv: list[str], env: dict[str, str], outputs: list[str], properties: tuple[tuple[str, str], ...]
) -> None:
    theirs = PB.Command(
        arguments=argv,
        environment_variables=[PB.Command.EnvironmentVariable(name=name, value=value) for name, value in sorted(env.items())],
        platform=platform(properties) if properties else None,
        output_paths=outputs,
    )
    assert reapi.encode_command(argv, env, outputs, properties) == theirs.SerializeToString(deterministic=True)


@given(DIGESTS, DIGESTS, PROPERTIES)
def test_an_action_is_as_protobuf_writes_it(command: Digest, root: Digest, properties: tuple[tuple[str, str], ...]) -> None:
    theirs = PB.Action(
        command_digest=pb(command),
        input_root_digest=pb(root),
        do_not_cache=True,
        platform=platform(properties) if properties else None,
    )
    assert reapi.encode_action(command, root, properties) == theirs.SerializeToString(deterministic=True)


@given(TEXTS, DIGESTS)
def test_requests_of_an_execution_are_as_protobuf_writes_them(name: str, action: Digest) -> None:
    theirs = PB.ExecuteRequest(instance_name=name, skip_cache_lookup=True, action_digest=pb(action))
    assert reapi.execute_request(name, action) == theirs.SerializeToString(deterministic=True)
    assert reapi.operation_name(name) == PB.WaitExecutionRequest(name=name).SerializeToString()
    assert reapi.operation_name(name) == PB.CancelOperationRequest(name=name).SerializeToString()


STATUSES = st.builds(lambda code, message: PB.Status(code=code, message=message), st.integers(0, 16), TEXTS)
SECONDS = st.integers(0, 2**33)


@st.composite
def action_results(draw: Any) -> Any:
    found = PB.ActionResult(exit_code=draw(st.integers(-1, 255)))
    if draw(st.booleans()):
        found.output_directories.add(path="out", tree_digest=pb(draw(DIGESTS)))
    if draw(st.booleans()):
        found.stdout_raw = draw(st.binary(min_size=1, max_size=9))
    else:
        found.stdout_digest.CopyFrom(pb(draw(DIGESTS)))
    if draw(st.booleans()):
        found.execution_metadata.worker = draw(TEXTS)
        found.execution_metadata.worker_start_timestamp.seconds = draw(SECONDS)
        found.execution_metadata.worker_start_timestamp.nanos = 500_000_000
    return found


@given(TEXTS, st.booleans(), STATUSES, action_results(), st.booleans())
def test_an_operation_is_read_as_protobuf_writes_it(name: str, done: bool, status: Any, result: Any, failed: bool) -> None:
    answer = PB.ExecuteResponse(result=result, status=status)
    theirs = PB.Operation(name=name, done=done)
    if failed:
        theirs.error.CopyFrom(status)
    elif done:
        theirs.response.value = answer.SerializeToString()
    found = reapi.Operation.decode(theirs.SerializeToString())
    assert (found.name, found.done) == (name, done)
    if failed or done:
        assert (found.code, found.message) == (status.code, status.message)
    if done and not failed:
        assert found.outcome == result.SerializeToString()


@given(action_results())
def test_what_a_worker_gave_is_read_as_protobuf_writes_it(result: Any) -> None:
    found = reapi.Executed.decode(result.SerializeToString())
    assert found.status == result.exit_code % 2**32
    assert found.tree == (ours(result.output_directories[0].tree_digest) if result.output_directories else None)
    assert found.stdout == (result.stdout_raw or ours(result.stdout_digest))
    assert found.stderr == b""
    assert found.worker == result.execution_metadata.worker
    start = result.execution_metadata.worker_start_timestamp
    assert found.times == ({"worker_start": start.seconds + 0.5} if start.nanos else {})


@given(st.binary(max_size=60))
def test_no_answer_of_a_farm_ends_in_another_error(data: bytes) -> None:
    for decode in (reapi.Operation.decode, reapi.Executed.decode):
        with suppress(ValueError):
            decode(data)


def test_a_server_tells_whether_it_has_workers() -> None:
    theirs = PB.ServerCapabilities(execution_capabilities=PB.ExecutionCapabilities(exec_enabled=True))
    assert Capabilities.decode(theirs.SerializeToString()).executes
    assert not Capabilities.decode(b"").executes
