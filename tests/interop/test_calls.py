"""Unary calls: sending exactly once, reading back, and every refusal with its status."""

import re
import time
from pathlib import Path

import grpc
from grpc import StatusCode
from nexus.v1 import content_pb2 as content
from nexus.v1 import conversation_pb2 as conversations
from nexus.v1 import development_pb2 as development
from nexus.v1 import history_pb2 as history
from nexus.v1 import marker_pb2 as markers
from nexus.v1 import message_pb2 as messages

from client import DEADLINE_SECONDS, InteropTest, forge, text, uuid7


class Messages(InteropTest):
    def setUp(self):
        self.ann, self.bob = self.log_in("ann"), self.log_in("bob")
        self.group = self.ann.create_group(self.bob.user)

    def test_a_group_is_seen_by_its_members(self):
        request = conversations.GetConversationRequest(conversation_id=self.group)
        seen = self.bob.conversations.GetConversation(request).conversation
        self.assertEqual((seen.id, seen.title, seen.creator), (self.group, "interop", self.ann.user))
        self.assertEqual((seen.member_count, seen.role), (2, content.ROLE_MEMBER))
        listed = self.bob.conversations.ListConversations(conversations.ListConversationsRequest())
        self.assertIn(self.group, [conversation.id for conversation in listed.conversations])
        members = self.bob.conversations.ListMembers(conversations.ListMembersRequest(conversation_id=self.group))
        roles = {member.user: member.role for member in members.members}
        self.assertEqual(roles, {self.ann.user: content.ROLE_OWNER, self.bob.user: content.ROLE_MEMBER})

    def test_a_retried_group_is_the_first(self):
        request = conversations.CreateConversationRequest(
            client_id=uuid7(), kind=content.CONVERSATION_KIND_GROUP, title="once"
        )
        first, second = (self.ann.conversations.CreateConversation(request) for _ in range(2))
        self.assertEqual((first.conversation.id, first.receipt), (second.conversation.id, second.receipt))

    def test_a_direct_conversation_is_one_for_both(self):
        ask = lambda who, other: who.conversations.GetOrCreateDirect(
            conversations.GetOrCreateDirectRequest(user=other.user)
        ).conversation
        mine, theirs = ask(self.ann, self.bob), ask(self.bob, self.ann)
        self.assertEqual(mine.id, theirs.id)
        self.assertEqual((mine.peer, theirs.peer), (self.bob.user, self.ann.user))

    def test_a_retry_gets_the_first_receipt(self):
        client_id = uuid7()
        first = self.ann.send(self.group, "once", client_id)
        other = self.ann.send(self.group, "in between")
        self.assertEqual(self.ann.send(self.group, "once", client_id), first)
        self.assertEqual(other.seq, first.seq + 1)
        with self.refused(StatusCode.INVALID_ARGUMENT, field="client_id"):
            self.ann.send(self.group, "something else", client_id)
        # The id is the sender's: another's is another message.
        self.assertEqual(self.bob.send(self.group, "once", client_id).seq, other.seq + 1)

    def test_list_messages_folds_edits_reactions_and_deletions(self):
        first = self.ann.send(self.group, "draft")
        gone = self.bob.send(self.group, "gone", reply_to=first.seq)
        self.ann.messages.EditMessage(
            messages.EditMessageRequest(
                conversation_id=self.group, client_id=uuid7(), seq=first.seq, content=text("final 🦀")
            )
        )
        react = lambda who, seq: who.messages.AddReaction(
            messages.AddReactionRequest(conversation_id=self.group, client_id=uuid7(), seq=seq, reaction="👍")
        ).receipt
        react(self.bob, first.seq)
        again = react(self.bob, first.seq)
        react(self.ann, first.seq)
        deletion = messages.DeleteMessageRequest(conversation_id=self.group, client_id=uuid7(), seq=gone.seq)
        last = self.bob.messages.DeleteMessage(deletion).receipt
        page = self.bob.history.ListMessages(
            history.ListMessagesRequest(conversation_id=self.group, at_least=last.seq)
        )
        edited, deleted = page.messages
        self.assertEqual((edited.seq, edited.content.text, edited.sender), (first.seq, "final 🦀", self.ann.user))
        self.assertGreater(edited.edited_at_ms, 0)
        reactions = [(reaction.reaction, list(reaction.users)) for reaction in edited.reactions]
        self.assertEqual(reactions, [("👍", [self.bob.user, self.ann.user])])
        self.assertEqual((deleted.seq, deleted.deleted, deleted.HasField("content")), (gone.seq, True, False))
        self.assertEqual(deleted.reply_to, first.seq)
        self.assertTrue(page.covered.at_start and page.covered.at_end)
        self.assertEqual(page.reflects, last.seq)
        self.assertLess(again.seq, last.seq)
        log = self.bob.history.ListEvents(history.ListEventsRequest(conversation_id=self.group, after_seq=0))
        self.assertEqual([event.seq for event in log.events], list(range(1, last.seq + 1)))

    def test_markers_count_what_is_unread(self):
        sent = [self.ann.send(self.group, f"message {n}") for n in range(3)]
        get = lambda: self.bob.conversations.GetConversation(
            conversations.GetConversationRequest(conversation_id=self.group)
        ).conversation
        self.assertEqual(get().unread_count, 3)
        mark = lambda seq: self.bob.markers.SetReadMarker(
            markers.SetReadMarkerRequest(conversation_id=self.group, seq=seq)
        )
        moved = mark(sent[1].seq)
        self.assertEqual((moved.read_seq, moved.unread_count), (sent[1].seq, 1))
        lower = mark(sent[0].seq)
        self.assertEqual((lower.read_seq, lower.unread_count), (sent[1].seq, 1))
        listed = self.ann.markers.ListMarkers(markers.ListMarkersRequest(conversation_id=self.group))
        read = {marker.user: marker.read_seq for marker in listed.markers}
        self.assertEqual((read[self.bob.user], read[self.ann.user]), (sent[1].seq, sent[2].seq))
        with self.refused(StatusCode.OUT_OF_RANGE):
            mark(sent[2].seq + 1)


class Refusals(InteropTest):
    def setUp(self):
        self.ann = self.log_in("ann")

    def test_a_foreign_conversation_is_not_found(self):
        group = self.ann.create_group()
        stranger = self.log_in("stranger")
        with self.refused(StatusCode.NOT_FOUND):
            stranger.send(group, "let me in")
        with self.refused(StatusCode.NOT_FOUND):
            stranger.conversations.GetConversation(conversations.GetConversationRequest(conversation_id=group))
        with self.refused(StatusCode.NOT_FOUND):
            stranger.history.ListMessages(history.ListMessagesRequest(conversation_id=group))
        with self.refused(StatusCode.NOT_FOUND):
            stranger.history.ListEvents(history.ListEventsRequest(conversation_id=group))
        with self.refused(StatusCode.NOT_FOUND):
            stranger.conversations.ListMembers(conversations.ListMembersRequest(conversation_id=group))
        with self.refused(StatusCode.NOT_FOUND):
            stranger.markers.ListMarkers(markers.ListMarkersRequest(conversation_id=group))
        with self.refused(StatusCode.NOT_FOUND):
            stranger.markers.SetReadMarker(markers.SetReadMarkerRequest(conversation_id=group, seq=1))
        with self.refused(StatusCode.NOT_FOUND):
            self.ann.send(uuid7(), "to nowhere")

    def test_a_call_without_a_good_token_is_unauthenticated(self):
        secret = (self.program.data / "token-secret").read_bytes().strip()
        claims = {"sub": self.ann.user, "tenant": "default", "sid": "interop"}
        soon, past = int(time.time()) + 600, int(time.time()) - 600
        ask = lambda session: session.conversations.ListConversations(conversations.ListConversationsRequest())
        ask(self.open(forge(secret, exp=soon, **claims)))  # The forger knows its trade.
        header, payload, signature = self.ann.token.split(".")
        bad = {
            "none at all": None,
            "no token": "garbage",
            "expired": forge(secret, exp=past, **claims),
            "another secret": forge(b"x" * 64, exp=soon, **claims),
            "not signed": forge(secret, algorithm="none", exp=soon, **claims),
            "another's payload": ".".join([header, forge(secret, exp=soon, sub="root").split(".")[1], signature]),
            "a user that can't be": forge(secret, exp=soon, **claims | {"sub": "a b"}),
            "not yet": forge(secret, exp=soon + 600, nbf=soon, **claims),
            "for ever": forge(secret, **claims),
        }
        for name, token in bad.items():
            with self.subTest(name), self.refused(StatusCode.UNAUTHENTICATED):
                ask(self.open(token))
        with self.refused(StatusCode.UNAUTHENTICATED), self.open().attached({}) as frames:
            next(frames)

    def test_bad_arguments_name_the_field(self):
        group = self.ann.create_group()
        with self.refused(StatusCode.INVALID_ARGUMENT, field="client_id"):
            self.ann.send(group, "hello", "00000000-0000-4000-8000-000000000000")
        with self.refused(StatusCode.INVALID_ARGUMENT, field="content"):
            self.ann.send(group, "")
        with self.refused(StatusCode.INVALID_ARGUMENT, field="conversation_id"):
            self.ann.send("nowhere", "hello")
        with self.refused(StatusCode.INVALID_ARGUMENT, field="limit"):
            self.ann.history.ListMessages(history.ListMessagesRequest(conversation_id=group, limit=201))
        with self.refused(StatusCode.INVALID_ARGUMENT, field="user"):
            self.open().development.CreateToken(development.CreateTokenRequest(user="no spaces"))

    def test_what_is_too_large_is_refused(self):
        group = self.ann.create_group()
        limit = 32 * 1024
        most = limit - (len(text("x" * limit).SerializeToString()) - limit)
        self.ann.send(group, "x" * most)
        with self.refused(StatusCode.INVALID_ARGUMENT, field="content", says="at most 32768"):
            self.ann.send(group, "x" * (most + 1))
        # Beyond what is taken of any request it doesn't come to a look at the fields. Just above, and far.
        for size in 1 << 20, 3 << 20:
            with self.subTest(size), self.refused(StatusCode.RESOURCE_EXHAUSTED, says="too large"):
                self.ann.send(group, "x" * size)

    def test_bytes_that_are_no_request_are_refused(self):
        call = self.ann.channel.unary_unary("/nexus.v1.MessageService/SendMessage")
        bad = {"no protobuf": b"\xff\xff\xff\xff", "no UTF-8": b"\x0a\x02\xc3\x28"}
        for name, request in bad.items():
            with self.subTest(name), self.refused(StatusCode.INVALID_ARGUMENT):
                call(request, timeout=DEADLINE_SECONDS)

    def test_what_comes_later_is_unimplemented(self):
        table = (Path(__file__).parents[2] / "docs/api.md").read_text()
        for service, method in re.findall(r"^\| (\w+Service) \| (\w+) \| later \|$", table, re.MULTILINE):
            with self.subTest(method), self.refused(StatusCode.UNIMPLEMENTED, says=method):
                later = self.ann.channel.unary_unary(f"/nexus.v1.{service}/{method}")
                later(b"", timeout=DEADLINE_SECONDS)
        for path in ["/nexus.v1.ConversationService/NoSuchMethod", "/nexus.v1.NoSuchService/Call"]:
            with self.subTest(path), self.assertRaises(grpc.RpcError) as caught:
                self.ann.channel.unary_unary(path)(b"", timeout=DEADLINE_SECONDS)
            self.assertEqual(caught.exception.code(), StatusCode.UNIMPLEMENTED)
