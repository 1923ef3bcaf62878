package core

import (
	"fmt"
	"reflect"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/wire"
)

// Message is a kind of message that nodes send to the leader.
type Message struct {
	// Subject is the NATS subject on which it is sent.
	Subject string

	form   reflect.Type
	decode func(data []byte) (any, error)
	handle func(l *leader, from string, m any, reply func(any))
}

// messages is everything that nodes say: NATS subscribes to the subjects, and Handle dispatches by
// the type, so a message of the simulation takes the same path as one from the network.
var messages = []Message{
	messageFrom(wire.SubjectRegister, (*leader).onRegister),
	message(wire.SubjectHeartbeat, (*leader).onHeartbeat),
	message(wire.SubjectGoodbye, atOnce((*leader).onGoodbye)),
	message(wire.SubjectLeave, atOnce((*leader).onLeave)),
	message(wire.SubjectProgress, atOnce((*leader).onReport)),
	message(wire.SubjectComplete, (*leader).onCompletion),
	message(wire.SubjectFail, atOnce((*leader).onFailure)),
	message(wire.SubjectSaved, atOnce((*leader).onSaved)),
	message(wire.SubjectKept, atOnce((*leader).onKept)),
	message(wire.SubjectPreview, atOnce((*leader).onPreview)),
	message(wire.SubjectMeasure, (*leader).onMeasure),
}

// byType finds the message of a Go type.
var byType = func() map[reflect.Type]Message {
	out := map[reflect.Type]Message{}
	for _, m := range messages {
		out[m.form] = m
	}
	return out
}()

// message ties a subject to the handler of what is said there, which calls reply at most once.
func message[M wire.Sent, A any](subject string, handle func(l *leader, m M, reply func(A)),
) Message {
	return messageFrom(subject, func(l *leader, _ string, m M, reply func(A)) { handle(l, m, reply) })
}

// messageFrom is message for a handler that has to know the identity of who sends.
func messageFrom[M wire.Sent, A any](subject string,
	handle func(l *leader, from string, m M, reply func(A))) Message {
	return Message{Subject: subject, form: reflect.TypeFor[M](),
		decode: func(data []byte) (any, error) { return wire.Decode[M](data) },
		handle: func(l *leader, from string, m any, reply func(any)) {
			handle(l, from, m.(M), func(a A) { reply(a) })
		}}
}

// atOnce is a handler that has its answer when it returns.
func atOnce[M, A any](handle func(l *leader, m M) A) func(l *leader, m M, reply func(A)) {
	return func(l *leader, m M, reply func(A)) { reply(handle(l, m)) }
}

// Messages returns all kinds of messages, for who subscribes to them.
func Messages() []Message { return messages }

// Decode reads and checks a message. It may be called from any goroutine.
func (m Message) Decode(data []byte) (any, error) { return m.decode(data) }

// Handle handles a message of a node, such as a wire.Heartbeat, and has it answered: reply is
// called once, from within or as a later event, or never, when the term ends before the answer is
// known. from is the identity that NATS has found the sender to have; "" in an open cluster. The
// error is ErrNotLeader if this core does not lead, and ErrForeign if the message is of a node that
// from does not own: nothing has changed then.
func (c *Core) Handle(from string, m any, reply func(answer any)) error {
	l, err := c.leader()
	if err != nil {
		return err
	}
	kind, ok := byType[reflect.TypeOf(m)]
	if !ok {
		return fmt.Errorf("cannot handle a %T", m)
	}
	if node := m.(wire.Sent).From(); from != "" && !wire.Owns(from, node) {
		return fmt.Errorf("%T of node %.64s: %w: %.64s", m, node, ErrForeign, from)
	}
	kind.handle(l, from, m, reply)
	return nil
}

// Identity returns the identity under which a node has registered; "": none, or no such node.
func (c *Core) Identity(id job.NodeID) string {
	if c.lead == nil || c.lead.nodes[id] == nil {
		return ""
	}
	return c.lead.nodes[id].identity
}
