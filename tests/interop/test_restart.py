"""kill -9 in the middle of sending, and a start on the same data: nothing acknowledged is gone, nothing is there twice."""

import threading

import grpc
from grpc import StatusCode
from nexus.v1 import history_pb2 as history
from nexus.v1 import message_pb2 as messages

from client import DEADLINE_SECONDS, InteropTest, events_until, frame_of, text, uuid7

SENDERS = 4
BEFORE_KILL, IN_ALL = 10, 20


class Restart(InteropTest):
    def test_kill_9_loses_and_doubles_nothing(self):
        people = [self.log_in(f"sender{n}") for n in range(SENDERS)]
        group = people[0].create_group(*[person.user for person in people[1:]])
        acknowledged, doubtful = {}, []
        enough, killed = threading.Barrier(SENDERS + 1), threading.Event()

        def send(person):
            for n in range(IN_ALL):
                request = messages.SendMessageRequest(
                    conversation_id=group, client_id=uuid7(), content=text(f"{person.user} {n}")
                )
                if n == BEFORE_KILL:
                    enough.wait(DEADLINE_SECONDS)
                # As a client does: the same id until there is an answer; ready or not, the channel reconnects.
                while True:
                    try:
                        sent = person.messages.SendMessage(request, timeout=DEADLINE_SECONDS, wait_for_ready=True)
                        acknowledged[person.user, request.client_id] = sent.receipt.seq
                        break
                    except grpc.RpcError as error:
                        doubtful.append((killed.is_set(), error.code()))
                        if error.code() != StatusCode.UNAVAILABLE:
                            raise

        threads = [threading.Thread(target=send, args=[person]) for person in people]
        with people[0].attached({group: 0}) as frames:
            frame_of(frames, "caught_up")
            for thread in threads:
                thread.start()
            enough.wait(DEADLINE_SECONDS)
            killed.set()
            self.program.kill()
            with self.assertRaises(grpc.RpcError) as caught:
                for _ in frames:
                    pass
            self.assertEqual(caught.exception.code(), StatusCode.UNAVAILABLE)
        self.program.start()
        for thread in threads:
            thread.join(2 * DEADLINE_SECONDS)
            self.assertFalse(thread.is_alive(), "a sender hangs")
        self.assertTrue(all(killed and code == StatusCode.UNAVAILABLE for killed, code in doubtful), doubtful)
        self.assertEqual(len(acknowledged), SENDERS * IN_ALL)

        last = max(acknowledged.values())
        self.assertEqual(last, 1 + SENDERS * IN_ALL)
        with people[1].attached({group: 0}) as frames:
            events = events_until(frames, group, last)
        self.assertEqual([event.seq for event in events], list(range(1, last + 1)))
        stored = {(event.sender, event.id): event.seq for event in events[1:]}
        self.assertEqual(stored, acknowledged)

        # Retries across the restart still get their first receipts; a token of before is still good.
        (user, client_id), seq = min(acknowledged.items(), key=lambda item: item[1])
        person = next(person for person in people if person.user == user)
        self.assertEqual(person.send(group, f"{user} 0", client_id).seq, seq)
        page = person.history.ListMessages(history.ListMessagesRequest(conversation_id=group, limit=200))
        self.assertEqual({message.seq for message in page.messages}, set(acknowledged.values()))

    def test_sigterm_says_reconnect_and_ends_well(self):
        ann = self.log_in("ann")
        with ann.attached({}) as frames:
            frame_of(frames, "caught_up")
            self.program.process.terminate()
            self.assertNotEqual(frame_of(frames, "reconnect").reason, "")
            self.assertEqual(self.program.process.wait(DEADLINE_SECONDS), 0)
        self.program.start()
        ann.create_group()
