"""Attach: what was missed, then what happens, with no seam."""

from grpc import StatusCode
from nexus.v1 import marker_pb2 as markers
from nexus.v1 import message_pb2 as messages
from nexus.v1 import presence_pb2 as presence
from nexus.v1 import stream_pb2 as stream

from client import InteropTest, ephemeral_of, events_until, frame_of, text, uuid7


class Streams(InteropTest):
    def setUp(self):
        self.ann, self.bob = self.log_in("ann"), self.log_in("bob")
        self.group = self.ann.create_group(self.bob.user)

    def test_the_past_and_the_present_are_one_dense_log(self):
        past = [self.ann.send(self.group, f"past {n}") for n in range(5)]
        with self.bob.attached({self.group: 0}) as frames:
            attached = next(frames).attached
            self.assertEqual((attached.user, attached.device), (self.bob.user, "interop"))
            self.assertGreater(attached.time_ms, 0)
            missed = events_until(frames, self.group, past[-1].seq)
            self.assertEqual([event.seq for event in missed], list(range(1, past[-1].seq + 1)))
            self.assertEqual(missed[0].WhichOneof("body"), "conversation_created")
            self.assertGreaterEqual(frame_of(frames, "caught_up").conversations, 1)

            client_id = uuid7()
            sent = self.ann.send(self.group, "present", client_id)
            self.ann.send(self.group, "present", client_id)
            edit = messages.EditMessageRequest(
                conversation_id=self.group, client_id=uuid7(), seq=sent.seq, content=text("edited")
            )
            edited = self.ann.messages.EditMessage(edit).receipt
            where = {"conversation_id": self.group, "seq": sent.seq, "reaction": "🎉"}
            added = self.bob.messages.AddReaction(messages.AddReactionRequest(client_id=uuid7(), **where))
            removed = self.bob.messages.RemoveReaction(messages.RemoveReactionRequest(client_id=uuid7(), **where))
            live = events_until(frames, self.group, removed.receipt.seq)
            seqs = [sent.seq, edited.seq, added.receipt.seq, removed.receipt.seq]
            self.assertEqual([event.seq for event in live], seqs)
            self.assertEqual(seqs, list(range(past[-1].seq + 1, past[-1].seq + 5)))
            bodies = ["message_sent", "message_edited", "reaction_added", "reaction_removed"]
            self.assertEqual([event.WhichOneof("body") for event in live], bodies)
            self.assertEqual([event.target for event in live], [0, sent.seq, sent.seq, sent.seq])
            self.assertEqual((live[0].id, live[0].time_ms), (client_id, sent.time_ms))
            self.assertEqual(live[1].message_edited.content.text, "edited")
            self.assertEqual(live[2].reaction_added.reaction, "🎉")

    def test_a_cursor_resumes_after_what_it_has(self):
        sent = [self.ann.send(self.group, f"message {n}") for n in range(4)]
        with self.bob.attached({self.group: sent[1].seq}) as frames:
            missed = events_until(frames, self.group, sent[-1].seq)
        self.assertEqual([event.seq for event in missed], [sent[2].seq, sent[3].seq])

    def test_a_conversation_without_a_cursor_is_reset_and_goes_on_live(self):
        last = self.ann.send(self.group, "past")
        with self.bob.attached({}) as frames:
            resets = {}
            for frame in frames:
                if frame.WhichOneof("frame") == "reset":
                    resets[frame.reset.conversation_id] = frame.reset
                if frame.WhichOneof("frame") == "caught_up":
                    break
            reset = resets[self.group]
            self.assertEqual(reset.reason, stream.RESET_REASON_NO_CURSOR)
            self.assertEqual((reset.first, reset.last), (1, last.seq))
            live = self.ann.send(self.group, "live")
            self.assertEqual([event.seq for event in events_until(frames, self.group, live.seq)], [live.seq])

    def test_a_group_made_while_attached_arrives(self):
        with self.bob.attached({self.group: 0}) as frames:
            frame_of(frames, "caught_up")
            new = self.ann.create_group(self.bob.user, title="new")
            sent = self.ann.send(new, "welcome")
            # It may come from its beginning, or by a Reset that says up to where to read it.
            covered = 0
            for frame in frames:
                if frame.WhichOneof("frame") == "reset" and frame.reset.conversation_id == new:
                    covered = frame.reset.last
                if frame.WhichOneof("frame") == "events" and frame.events.conversation_id == new:
                    for event in frame.events.events:
                        self.assertEqual(event.seq, covered + 1)
                        covered = event.seq
                if covered >= sent.seq:
                    break
            self.assertGreaterEqual(covered, sent.seq)

    def test_typing_presence_and_markers_arrive(self):
        sent = self.ann.send(self.group, "hello")
        with self.ann.attached({self.group: 0}) as frames:
            frame_of(frames, "caught_up")
            with self.bob.attached({self.group: 0}) as others:
                frame_of(others, "caught_up")
                of_bob = lambda body: body.user == self.bob.user
                came = ephemeral_of(frames, "presence", of_bob)
                self.assertEqual(came.status, presence.PRESENCE_STATUS_ONLINE)

                typing = presence.SetTypingRequest(conversation_id=self.group, typing=True)
                self.bob.presence.SetTyping(typing)
                heard = ephemeral_of(frames, "typing")
                self.assertEqual((heard.conversation_id, heard.user), (self.group, self.bob.user))
                self.assertTrue(heard.typing)

                busy = presence.SetPresenceRequest(status=presence.PRESENCE_STATUS_BUSY, text="in a meeting")
                self.bob.presence.SetPresence(busy)
                heard = ephemeral_of(frames, "presence", lambda body: of_bob(body) and body.text)
                self.assertEqual((heard.status, heard.text), (busy.status, busy.text))
                asked = self.ann.presence.GetPresence(presence.GetPresenceRequest(users=[self.bob.user]))
                self.assertEqual([(p.status, p.text) for p in asked.presences], [(busy.status, busy.text)])

                self.bob.markers.SetReadMarker(
                    markers.SetReadMarkerRequest(conversation_id=self.group, seq=sent.seq)
                )
                heard = ephemeral_of(frames, "marker", lambda body: of_bob(body.marker))
                self.assertEqual((heard.conversation_id, heard.marker.read_seq), (self.group, sent.seq))

    def test_nobody_hears_a_foreign_conversation(self):
        stranger = self.log_in("stranger")
        own = stranger.create_group()
        with stranger.attached({self.group: 0, own: 0}) as frames:
            secret = self.ann.send(self.group, "secret")
            typing = presence.SetTypingRequest(conversation_id=self.group, typing=True)
            self.ann.presence.SetTyping(typing)
            mark = stranger.send(own, "the end")
            for frame in frames:
                kind = frame.WhichOneof("frame")
                self.assertNotEqual(frame.ephemeral.typing.conversation_id, self.group)
                if kind == "events":
                    self.assertNotEqual(frame.events.conversation_id, self.group)
                    if frame.events.conversation_id == own and frame.events.events[-1].seq == mark.seq:
                        break
        self.assertGreater(secret.seq, 0)

    def test_more_cursors_after_attaching(self):
        with self.bob.attached({}) as frames:
            stream_id = next(frames).attached.stream_id
            frame_of(frames, "caught_up")
            foreign = self.log_in("other").create_group()
            more = stream.AddCursorsRequest(
                stream_id=stream_id, cursors=[stream.Cursor(conversation_id=foreign, seq=0)]
            )
            self.bob.streams.AddCursors(more)
            reset = next(frame.reset for frame in frames if frame.reset.conversation_id == foreign)
            self.assertEqual(reset.reason, stream.RESET_REASON_NOT_A_MEMBER)
            frame_of(frames, "caught_up")
        with self.refused(StatusCode.NOT_FOUND):
            self.bob.streams.AddCursors(stream.AddCursorsRequest(stream_id=uuid7()))
