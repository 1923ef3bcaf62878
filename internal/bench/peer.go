package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// Peer is a process that times the same items in another implementation. After a first line that
// names it, it reads a question per line of JSON, and answers each with a line. It is not safe for
// concurrent use. Starting it and talking to it do not show in the figures, which are by the peer's
// own clock.
type Peer struct {
	// Name is what it runs, such as "torch 2.9.0".
	Name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

// question asks for the time of an item.
type question struct {
	Name    string `json:"name"`
	DType   string `json:"dtype"`
	Threads int    `json:"threads"` // 0: the peer's choice
}

// answer is a line of the peer: its name first, then a time or an error per question.
type answer struct {
	Name  string `json:"name"`
	Error string `json:"error"` // why it cannot time the item
	Taken
}

// Taken is a peer's time for an item, by its own clock: the least of its runs.
type Taken struct {
	Seconds float64 `json:"seconds"`
	// Note is what the peer has to say of it, such as the backend that was the fastest.
	Note string `json:"note"`
}

// StartPeer runs a command line and waits for its first line, which may take as long as importing
// PyTorch. On an error no process is left, and the caller measures without a peer.
func StartPeer(ctx context.Context, command []string) (*Peer, error) {
	if len(command) == 0 {
		return nil, errors.New("the command is empty")
	}
	p := &Peer{cmd: exec.CommandContext(ctx, command[0], command[1:]...)} //nolint:gosec // the user's
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}

	// The first line comes once the peer is ready to time something.
	p.out = bufio.NewScanner(out)
	first, err := p.read()
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.Name = first.Name
	return p, nil
}

// read returns the next line. An error that the line reports is returned as one.
func (p *Peer) read() (a answer, err error) {
	if !p.out.Scan() {
		return a, fmt.Errorf("%s has ended: %w", p.cmd.Path, cmp.Or(p.out.Err(), io.EOF))
	}
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("%s says %q, not a line of JSON", p.cmd.Path, p.out.Text())
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Time asks for the time of an item in a type, on so many threads. An error may be the peer's
// reason why it cannot time this item; the next one may still succeed. It blocks until the peer has
// finished its runs, minutes for the largest items, or has ended.
func (p *Peer) Time(name, dtype string, threads int) (Taken, error) {
	q, err := json.Marshal(question{name, dtype, threads})
	if err != nil {
		return Taken{}, err
	}
	if _, err := p.in.Write(append(q, '\n')); err != nil {
		return Taken{}, fmt.Errorf("cannot ask %s: %w", p.Name, err)
	}
	// One answer per question, in order, so nothing has to be matched.
	a, err := p.read()
	if err != nil {
		return Taken{}, fmt.Errorf("%s, %s: %w", name, dtype, err)
	}
	return a.Taken, nil
}

// Close ends the process by closing its input, and waits for it. The error is that of the process,
// such as a status other than 0.
func (p *Peer) Close() error {
	p.in.Close()
	return p.cmd.Wait()
}
