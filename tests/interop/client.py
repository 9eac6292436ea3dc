"""What a client of Nexus does in Python, with nothing but grpcio and the generated code."""

import base64
import hashlib
import hmac
import json
import os
import time
import unittest
import uuid
from contextlib import contextmanager

import grpc
from google.rpc import error_details_pb2, status_pb2
from nexus.v1 import content_pb2 as content
from nexus.v1 import conversation_pb2 as conversations
from nexus.v1 import conversation_pb2_grpc, development_pb2_grpc, history_pb2_grpc, marker_pb2_grpc
from nexus.v1 import development_pb2 as development
from nexus.v1 import message_pb2 as messages
from nexus.v1 import message_pb2_grpc, presence_pb2_grpc, stream_pb2_grpc
from nexus.v1 import stream_pb2 as stream

from program import Program

DEADLINE_SECONDS = 30


def uuid7():
    """RFC 9562, 5.7."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def text(words):
    return content.Content(text=words)


def forge(secret, *, algorithm="HS256", **claims):
    """A JSON Web Token."""
    encode = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    parts = {"alg": algorithm, "typ": "JWT"}, claims
    signed = b".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = b"" if algorithm == "none" else hmac.digest(secret, signed, hashlib.sha256)
    return (signed + b"." + encode(signature)).decode()


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends a token with every call. Call credentials would too, but they are Python that grpcio's own threads free: one of
    them then waits for the interpreter's lock, which `Channel.close` holds while it waits for that thread."""

    def __init__(self, token):
        self.header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, proceed, details, request):
        return proceed(details._replace(metadata=[*(details.metadata or ()), self.header]), request)

    intercept_unary_stream = intercept_unary_unary


class Session:
    """Every service over one connection, as somebody or as nobody."""

    def __init__(self, program, token=None, user=""):
        self.user, self.token = user, token
        trust = grpc.ssl_channel_credentials(program.ca.read_bytes())
        # Its own subchannels, and quick to come back when the server was away.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self.transport = grpc.secure_channel(program.address, trust, options)
        self.channel = self.transport if token is None else grpc.intercept_channel(self.transport, Bearer(token))
        self.development = development_pb2_grpc.DevelopmentServiceStub(self.channel)
        self.conversations = conversation_pb2_grpc.ConversationServiceStub(self.channel)
        self.messages = message_pb2_grpc.MessageServiceStub(self.channel)
        self.history = history_pb2_grpc.HistoryServiceStub(self.channel)
        self.markers = marker_pb2_grpc.MarkerServiceStub(self.channel)
        self.presence = presence_pb2_grpc.PresenceServiceStub(self.channel)
        self.streams = stream_pb2_grpc.StreamServiceStub(self.channel)

    def create_group(self, *others, title="interop"):
        """A group of the caller and others; its id."""
        request = conversations.CreateConversationRequest(
            client_id=uuid7(),
            kind=content.CONVERSATION_KIND_GROUP,
            title=title,
            members=[content.MemberRole(user=other) for other in others],
        )
        return self.conversations.CreateConversation(request, timeout=DEADLINE_SECONDS).conversation.id

    def send(self, conversation, words, client_id=None, **fields):
        """Sends a message; its receipt."""
        request = messages.SendMessageRequest(
            conversation_id=conversation, client_id=client_id or uuid7(), content=text(words), **fields
        )
        return self.messages.SendMessage(request, timeout=DEADLINE_SECONDS).receipt

    @contextmanager
    def attached(self, cursors):
        """The frames of a stream; `cursors` maps conversations to seqs. A frame that never comes ends it by the deadline."""
        cursors = [stream.Cursor(conversation_id=key, seq=seq) for key, seq in cursors.items()]
        call = self.streams.Attach(stream.AttachRequest(cursors=cursors), timeout=DEADLINE_SECONDS)
        try:
            yield call
        finally:
            call.cancel()

    def close(self):
        self.transport.close()


class InteropTest(unittest.TestCase):
    """One server for all tests of a class; users are made up for each test."""

    @classmethod
    def setUpClass(cls):
        cls.program = Program()
        cls.addClassCleanup(cls.program.discard)

    def open(self, token=None, user=""):
        session = Session(self.program, token, user)
        self.addCleanup(session.close)
        return session

    def log_in(self, name):
        """A session of a new user, whose name starts with `name`."""
        user = f"{name}-{os.urandom(4).hex()}"
        request = development.CreateTokenRequest(user=user, device="interop")
        answer = self.open().development.CreateToken(request, timeout=DEADLINE_SECONDS)
        self.assertGreater(answer.expires_at_ms, time.time() * 1000)
        return self.open(answer.token, user)

    @contextmanager
    def refused(self, code, *, says="", field=None):
        """The block must end in this status. With `field`: and its details must say what is wrong with that field."""
        with self.assertRaises(grpc.RpcError) as caught:
            yield
        error = caught.exception
        self.assertEqual((error.code(), error.details() != ""), (code, True), error)
        self.assertIn(says, error.details())
        if field is not None:
            violations = bad_request(error).field_violations
            self.assertEqual([violation.field for violation in violations], [field])
            self.assertNotEqual(violations[0].description, "")


def bad_request(error):
    """google.rpc.BadRequest of an error, as the standard packs it."""
    trailers = {key: value for key, value in error.trailing_metadata()}
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0] and status.message == error.details(), status
    found = error_details_pb2.BadRequest()
    unpacked = [detail.Unpack(found) for detail in status.details]
    assert any(unpacked), f"no BadRequest among the details: {status}"
    return found


def events_until(frames, conversation, last):
    """The events of a conversation from a stream, up to seq `last`. Fails if they aren't consecutive."""
    events = []
    for frame in frames:
        if frame.WhichOneof("frame") == "reset" and frame.reset.conversation_id == conversation:
            raise AssertionError(f"unexpected {frame}")
        if frame.WhichOneof("frame") == "events" and frame.events.conversation_id == conversation:
            for event in frame.events.events:
                assert not events or event.seq == events[-1].seq + 1, f"{event.seq} after {events[-1].seq}"
                events.append(event)
        if events and events[-1].seq >= last:
            return events
    raise AssertionError(f"the stream ended before seq {last}")


def frame_of(frames, kind):
    """The next frame of a kind."""
    return next(getattr(frame, kind) for frame in frames if frame.WhichOneof("frame") == kind)


def ephemeral_of(frames, kind, accept=lambda _: True):
    """The next ephemeral of a kind that is accepted."""
    for frame in frames:
        if frame.ephemeral.WhichOneof("body") == kind and accept(body := getattr(frame.ephemeral, kind)):
            return body
    raise AssertionError(f"the stream ended without {kind}")
