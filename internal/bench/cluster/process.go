package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/longtake/longtake/internal/config"
)

// Each process has folders of its own for settings, caches and temporary files, as if it were on a
// machine of its own. Only the local key and the user's settings would tell that it is not.

// process is one that runs, and can be started again with the same flags.
type process struct {
	name    string
	path    string
	args    []string
	log     string // a file, to which each start appends
	private string // folder for its settings, caches and temporary files

	cmd *exec.Cmd
	// ended is closed when it has, for whatever reason.
	ended chan struct{}
}

// start starts it, for the first time or again. The environment's settings are those of the user's
// own programs, so none of them reaches it.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write the log of %s: %w", p.name, err)
	}

	defer log.Close() // the process has its own

	cmd := exec.Command(p.path, p.args...) //nolint:gosec // the project's own programs
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(config.Foreign(os.Environ()), "XDG_CONFIG_HOME="+p.private,
		"TMPDIR="+p.private)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.name, err)
	}

	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // why it ended says its log
		close(ended)
	}()
	return nil
}

// kill ends it without a word, and returns when it is gone.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot kill %s: %w", p.name, err)
	}
	<-p.ended
	return nil
}

// patience is how long a process may take to end when it is asked to.
const patience = 10 * time.Second

// stop asks it to end, and kills it where that takes too long.
func (p *process) stop() error {
	if p.ended == nil {
		return nil // it never started
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return p.kill()
	}
}

// gone reports whether it has ended by itself.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// lastWords is the last line that it said.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return "it has no log"
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return fmt.Sprintf("%.400s (%s)", lines[len(lines)-1], filepath.Base(p.log))
}
