"""gRPC-Web by hand over HTTP/1.1, as a browser's fetch does it: binary and text."""

import base64
import http.client
import ssl
import struct
from contextlib import contextmanager

from nexus.v1 import development_pb2 as development
from nexus.v1 import message_pb2 as messages
from nexus.v1 import stream_pb2 as stream

from client import DEADLINE_SECONDS, InteropTest, events_until, text, uuid7

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text"
TRAILERS = 0x80


def trailers(payload):
    lines = payload.decode().strip().split("\r\n")
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class Web(InteropTest):
    @contextmanager
    def post(self, kind, method, request, token=None):
        """The frames (flag, payload) of an answer, as they arrive; and its headers."""
        trust = ssl.create_default_context(cafile=str(self.program.ca))
        connection = http.client.HTTPSConnection("localhost", self.program.port, timeout=DEADLINE_SECONDS, context=trust)
        message = request.SerializeToString()
        body = struct.pack(">BI", 0, len(message)) + message
        headers = {"content-type": kind, "accept": kind, "x-grpc-web": "1"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        try:
            connection.request("POST", f"/nexus.v1.{method}", base64.b64encode(body) if kind == TEXT else body, headers)
            response = connection.getresponse()
            self.assertEqual((response.status, response.version), (200, 11))
            self.assertTrue(response.headers["content-type"].startswith(kind), response.headers["content-type"])
            yield self.frames(response, kind), response.headers
        finally:
            connection.close()

    def frames(self, response, kind):
        encoded, received = b"", b""
        while chunk := response.read1(65536):
            if kind == TEXT:
                # Base64 may be padded anywhere between two flushes: every four characters stand for themselves.
                encoded += chunk
                whole = len(encoded) // 4 * 4
                chunk = b"".join(base64.b64decode(encoded[at : at + 4], validate=True) for at in range(0, whole, 4))
                encoded = encoded[whole:]
            received += chunk
            while len(received) >= 5:
                flag, size = struct.unpack(">BI", received[:5])
                if len(received) < 5 + size:
                    break
                yield flag, received[5 : 5 + size]
                received = received[5 + size :]
        self.assertEqual((encoded, received), (b"", b""), "the answer ends within a frame")

    def unary(self, kind, method, request, token=None):
        """The message of an answer, if there is one, and how it ended, be it in a frame or in the headers."""
        with self.post(kind, method, request, token) as (frames, headers):
            frames = list(frames)
        found = [payload for flag, payload in frames if flag == 0]
        ended = [trailers(payload) for flag, payload in frames if flag & TRAILERS]
        self.assertLessEqual(len(found), 1)
        return (found or [None])[0], (ended or [headers])[0]

    def test_a_unary_call_and_a_stream(self):
        for kind in BINARY, TEXT:
            with self.subTest(kind):
                ann, bob = self.log_in("ann"), self.log_in("bob")
                group = ann.create_group(bob.user)
                request = messages.SendMessageRequest(
                    conversation_id=group, client_id=uuid7(), content=text("from a browser")
                )
                payload, ended = self.unary(kind, "MessageService/SendMessage", request, ann.token)
                self.assertEqual(ended["grpc-status"], "0")
                receipt = messages.SendMessageResponse.FromString(payload).receipt
                self.assertEqual(receipt.seq, 2)

                request = stream.AttachRequest(cursors=[stream.Cursor(conversation_id=group, seq=0)])
                with self.post(kind, "StreamService/Attach", request, bob.token) as (frames, _):
                    answers = (stream.AttachResponse.FromString(payload) for flag, payload in frames if flag == 0)
                    self.assertEqual(next(answers).attached.user, bob.user)
                    events = events_until(answers, group, receipt.seq)
                    self.assertEqual([event.seq for event in events], [1, 2])
                    self.assertEqual(events[1].message_sent.content.text, "from a browser")
                    # The answer is open: what happens now arrives now.
                    live = ann.send(group, "live")
                    self.assertEqual([event.seq for event in events_until(answers, group, live.seq)], [live.seq])

    def test_a_token_without_having_one(self):
        for kind in BINARY, TEXT:
            with self.subTest(kind):
                request = development.CreateTokenRequest(user="browser")
                payload, ended = self.unary(kind, "DevelopmentService/CreateToken", request)
                self.assertEqual(ended["grpc-status"], "0")
                self.assertEqual(development.CreateTokenResponse.FromString(payload).token.count("."), 2)

    def test_refusals_have_a_status(self):
        ann = self.log_in("ann")
        for kind in BINARY, TEXT:
            with self.subTest(kind):
                request = messages.SendMessageRequest(conversation_id="nowhere", client_id=uuid7())
                payload, ended = self.unary(kind, "MessageService/SendMessage", request, ann.token)
                self.assertEqual((payload, ended["grpc-status"]), (None, "3"))
                self.assertIn("grpc-status-details-bin", ended)
                payload, ended = self.unary(kind, "MessageService/SendMessage", request)
                self.assertEqual((payload, ended["grpc-status"]), (None, "16"))
                payload, ended = self.unary(kind, "MessageService/NoSuchMethod", request, ann.token)
                self.assertEqual((payload, ended["grpc-status"]), (None, "12"))
