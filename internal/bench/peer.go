package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// Peer is a process that times the same items. It reads a line of JSON per question and answers
// with one, after a first line that says what it is.
type Peer struct {
	Name string // what it runs, such as "torch 2.9.0"
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
}

type question struct {
	Name    string `json:"name"`
	DType   string `json:"dtype"`
	Threads int    `json:"threads"`
}

type answer struct {
	Name  string `json:"name"`
	Error string `json:"error"`
	Taken
}

// Taken is a peer's time for an item.
type Taken struct {
	Seconds float64 `json:"seconds"`
	Note    string  `json:"note"` // such as the backend that was the fastest
}

// StartPeer runs a command line. An error says that there is nobody to compare with.
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
	p.out = bufio.NewScanner(out)
	first, err := p.read()
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.Name = first.Name
	return p, nil
}

func (p *Peer) read() (a answer, err error) {
	if !p.out.Scan() {
		return a, fmt.Errorf("%s has ended: %w", p.cmd.Path, cmpErr(p.out.Err(), io.EOF))
	}
	if err := json.Unmarshal(p.out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("%s says %q, not a line of JSON", p.cmd.Path, p.out.Text())
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// Time asks for the time of an item.
func (p *Peer) Time(name, dtype string, threads int) (Taken, error) {
	q, err := json.Marshal(question{name, dtype, threads})
	if err != nil {
		return Taken{}, err
	}
	if _, err := p.in.Write(append(q, '\n')); err != nil {
		return Taken{}, fmt.Errorf("cannot ask %s: %w", p.Name, err)
	}
	a, err := p.read()
	if err != nil {
		return Taken{}, fmt.Errorf("%s, %s: %w", name, dtype, err)
	}
	return a.Taken, nil
}

// Close ends the process.
func (p *Peer) Close() error {
	p.in.Close()
	return p.cmd.Wait()
}
