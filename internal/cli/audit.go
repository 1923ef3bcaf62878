package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/terminal"
)

const auditHelp = `Look at the audit log: who did what, when, from where, and with which outcome.

Each entry has the hash of the one before it, so that nobody can change one and go unnoticed:
"audit verify" looks. Every coordinator has the same entries in files of its own (DATA/audit), and
answers from those.

  longtake audit tail
  longtake audit export -o audit.jsonl --from 2026-01-01
  longtake audit verify audit.jsonl`

// auditCommand reads the audit log. No command changes it.
func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Look at who did what, and verify it", Long: auditHelp}
	return group(cmd, auditTail(), auditExport(), auditVerify())
}

// auditFilter adds the flags that say which entries are wanted, and returns them as a query.
func auditFilter(cmd *cobra.Command) func() url.Values {
	texts := map[string]*string{}
	for name, usage := range map[string]string{
		"actor":  "of this key (id or name) or address alone",
		"action": "such as video.create, or video for all that begins with it"} {
		texts[name] = cmd.Flags().String(name, "", usage)
	}
	return func() url.Values {
		q := url.Values{}
		for name, text := range texts {
			if *text != "" {
				q.Set(name, *text)
			}
		}
		return q
	}
}

// auditExport writes the lines as they are: what is verified later are their bytes. To stdout it
// escapes what no honest coordinator sends.
func auditExport() *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Write entries to a file, one JSON object a line",
		Args: daemon.NoArgs, Long: `Write entries to a file or to stdout, one JSON object a line, as the
coordinator's files have them. A whole export, and one from some number on, can be verified:
"longtake audit verify FILE". One of an actor or an action alone cannot, as entries are missing.`}
	filter := auditFilter(cmd)
	from := cmd.Flags().String("from", "", "number of the first entry, a time (RFC 3339) or a day")
	to := cmd.Flags().String("to", "", "number of the last entry, a time, or a day, to its end")
	out := cmd.Flags().StringP("output", "o", "", "file to write (default: stdout)")

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := dial(cmd)
		if err != nil {
			return err
		}

		// What a bound may be is for the coordinator to say: it has the same rules for curl.
		q := filter()
		for name, text := range map[string]string{"from": *from, "to": *to} {
			if text != "" {
				q.Set(name, text)
			}
		}

		// The bytes are not looked at here, so that a line that is wrong is exported, too: whoever
		// verifies the file has to see it.
		r, err := c.Audit(cmd.Context(), q)
		if err != nil {
			return err
		}
		defer r.Close()

		if *out == "" {
			// Of an honest log not a byte is changed: it has none that a terminal would act on.
			_, err = io.Copy(terminal.Plain{W: cmd.OutOrStdout()}, r)
			return readError(err)
		}
		return saveAudit(r, *out)
	}
	return cmd
}

// readError says that a log has not come whole.
func readError(err error) error {
	if err != nil {
		return fmt.Errorf("cannot read the audit log: %w", err)
	}
	return nil
}

// saveAudit writes a whole file for its owner alone, or none.
func saveAudit(r io.Reader, path string) error {
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the audit log: %w", err)
	}

	// The name comes last, so that a file of that name is whole.
	_, err = io.Copy(f, r)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(path + ".part")
		return readError(err)
	}
	return os.Rename(path+".part", path)
}

// auditTail shows the last entries, for people. It asks for them by number: the status has that of
// the last one. With --follow it asks again once a second, which costs a coordinator little, and
// works with any of them.
func auditTail() *cobra.Command {
	cmd := &cobra.Command{Use: "tail", Short: "Show the last entries", Args: daemon.NoArgs}
	filter := auditFilter(cmd)
	n := cmd.Flags().IntP("lines", "n", 20, "how many of the last entries to show")
	follow := cmd.Flags().BoolP("follow", "f", false, "go on with those that come")
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// More than that is for export.
		if *n < 0 || *n > 1_000_000 {
			return daemon.Usagef("--lines is %d; allowed: 0 to 1000000", *n)
		}

		c, err := dial(cmd)
		if err != nil {
			return err
		}
		s, err := c.AuditStatus(cmd.Context())
		if err != nil {
			return err
		}

		// From so many before the last one on. Those of somebody may be far apart, and what others were
		// refused between them: all are asked for, and the last ones shown.
		q, out := filter(), cmd.OutOrStdout()
		next := max(s.Files.Last.Seq+1, uint64(*n)) - uint64(*n) //nolint:gosec // from 0
		if len(q) > 0 {
			last := lastLines{n: *n}
			if next, err = tailFrom(cmd.Context(), &last, c, q, s.Files.First, *js); err != nil {
				return err
			}
			shown := []byte(strings.Join(last.lines, ""))
			if _, err := (terminal.Plain{W: out}).Write(shown); err != nil {
				return err
			}
			next = max(next, s.Files.Last.Seq+1)
			if !*follow {
				return nil
			}
		}

		for {
			if next, err = tailFrom(cmd.Context(), out, c, q, next, *js); err != nil {
				return err
			}
			if !*follow {
				return nil
			}

			select {
			case <-cmd.Context().Done():
				return cmd.Context().Err()
			case <-time.After(time.Second):
			}
		}
	}
	return cmd
}

// tailFrom prints the entries from a number on, and returns the number of the next one.
func tailFrom(ctx context.Context, w io.Writer, c *client.Client, q url.Values, from uint64,
	js bool) (next uint64, err error) {
	next = max(from, 1)
	q.Set("from", strconv.FormatUint(next, 10))
	r, err := c.Audit(ctx, q)
	if err != nil {
		return next, err
	}
	defer r.Close()

	// Lines that are wrong end it: people should not be shown what may be forged.
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, audit.LineMax)
	for lines.Scan() {
		e, err := audit.ParseLine(lines.Bytes())
		if err != nil {
			return next, fmt.Errorf("the coordinator has a line that %w; see longtake audit verify", err)
		}
		next = max(next, e.Seq+1)

		// JSON is printed as it came, but for characters that a terminal would act on.
		if js {
			_, err = terminal.Plain{W: w}.Write(append(lines.Bytes(), '\n'))
		} else {
			printEntry(w, e)
		}
		if err != nil {
			return next, err
		}
	}
	return next, readError(lines.Err())
}

// printEntry prints one entry for people, in local time: by whom in the words that say most, the
// name of a key before its id, and that before an address. What is not printed is in the JSON.
func printEntry(w io.Writer, e audit.Entry) {
	who := e.Actor.Name
	for _, other := range []string{e.Actor.Owner, e.Actor.Addr, "-"} {
		if who == "" {
			who = other
		}
	}

	// Refusals are counted; an entry of one thing has no count.
	rest := ""
	if n := e.Details["count"]; n != "" && n != "1" {
		rest = ", " + n + " times"
	}
	if e.Reason != "" {
		rest += ": " + e.Reason
	}

	terminal.Printf(w, "%6d  %s  %-20s %-18s %s  %s%s\n", e.Seq,
		e.Time.Local().Format(time.DateTime), who, e.Action, dash(e.Object), e.Outcome, rest)
}
