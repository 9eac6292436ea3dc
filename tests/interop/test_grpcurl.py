"""grpcurl, which knows the server by reflection only."""

import json
import os
import subprocess
import unittest

from client import DEADLINE_SECONDS, InteropTest, uuid7

GRPCURL = os.environ.get("GRPCURL")
SERVICES = ["Conversation", "Development", "History", "Marker", "Message", "Presence", "Stream"]


@unittest.skipUnless(GRPCURL, "no Go here to install grpcurl with")
class Grpcurl(InteropTest):
    def grpcurl(self, *what, request=None, token=None):
        options = ["-cacert", self.program.ca, "-max-time", str(DEADLINE_SECONDS)]
        if token is not None:
            # The token stays out of the process list.
            options += ["-expand-headers", "-H", "authorization: Bearer ${TOKEN}"]
        if request is not None:
            options += ["-d", json.dumps(request)]
        command = [GRPCURL, *options, self.program.address, *what]
        return subprocess.run(command, env=os.environ | {"TOKEN": token or ""}, capture_output=True, text=True)

    def call(self, method, request, token=None):
        done = self.grpcurl(f"nexus.v1.{method}", request=request, token=token)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_reflection_lists_the_services(self):
        done = self.grpcurl("list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLessEqual({f"nexus.v1.{name}Service" for name in SERVICES}, set(done.stdout.split()))

    def test_a_token_a_group_a_message(self):
        token = self.call("DevelopmentService/CreateToken", {"user": "curl"})["token"]
        group = {"clientId": uuid7(), "kind": "CONVERSATION_KIND_GROUP", "title": "from a shell"}
        made = self.call("ConversationService/CreateConversation", group, token)["conversation"]
        message = {"conversationId": made["id"], "clientId": uuid7(), "content": {"text": "hello"}}
        sent = self.call("MessageService/SendMessage", message, token)
        self.assertEqual(sent["receipt"]["seq"], "2")
        self.assertEqual(self.call("MessageService/SendMessage", message, token), sent)

    def test_a_refusal_is_shown_with_its_details(self):
        token = self.call("DevelopmentService/CreateToken", {"user": "curl"})["token"]
        done = self.grpcurl("nexus.v1.MessageService/SendMessage", request={"clientId": "no id"}, token=token)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("InvalidArgument", done.stderr)
        self.assertIn("google.rpc.BadRequest", done.stderr)
        done = self.grpcurl("nexus.v1.MessageService/SendMessage", request={})
        self.assertIn("Unauthenticated", done.stderr)
