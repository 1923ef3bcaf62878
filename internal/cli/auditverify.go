package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

const verifyHelp = `Verify that no entry of an audit log was changed, removed, added or moved.

With files, exports or those of a coordinator (DATA/audit/audit-*.jsonl, in their order), no
coordinator is asked. Without, the files of the coordinator that --coordinator names are read, and
their end is compared with what the coordinators have agreed on in Raft.

Exit code 1 with the first line that is wrong. What files alone cannot show is that entries are
missing at their end: compare the head with that of a coordinator.`

// auditResult is what audit verify has found, as --json prints it.
type auditResult struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Entries uint64 `json:"entries"`
	Hash    string `json:"hash"`
	// Coordinator is whose files they are; empty for files that were named.
	Coordinator string `json:"coordinator,omitempty"`
}

// auditVerify holds entries to their hashes, and a coordinator's files to Raft.
func auditVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify [FILE...]", Long: verifyHelp,
		Short: "Verify files, or the log of a coordinator"}
	js := asJSON(cmd)

	cmd.RunE = func(cmd *cobra.Command, files []string) error {

		// Files need no coordinator, so that they can be verified anywhere.
		v, err := auditResult{}, error(nil)
		if len(files) > 0 {
			v, err = verifyFiles(files)
		} else {
			v, err = verifyCluster(cmd)
		}
		switch {
		case err != nil:
			return err
		case *js:
			return terminal.JSON(cmd.OutOrStdout(), v)
		}
		printVerified(cmd.OutOrStdout(), v)
		return nil
	}
	return cmd
}

// printVerified says what is right, and how far that goes: from which entry on, up to which hash,
// and whether anybody else has said that the log ends there.
func printVerified(w io.Writer, v auditResult) {
	if v.Entries == 0 {
		terminal.Printf(w, "there are no entries\n")
		return
	}
	terminal.Printf(w, "entries      %d to %d, none changed or missing\n", v.First, v.Last)
	if v.First > 1 {
		terminal.Printf(w, "before them  %d that are not there: they were too old, or the coordinator "+
			"joined later\n", v.First-1)
	}
	terminal.Printf(w, "head         %d %s\n", v.Last, v.Hash)
	if v.Coordinator != "" {
		terminal.Printf(w, "coordinator  %s, whose files end where Raft says\n", v.Coordinator)
	}
}

// found is what a verifier has found to be right.
func found(v audit.Verifier) auditResult {
	return auditResult{First: v.First, Last: v.Last.Seq, Entries: v.Entries, Hash: v.Last.Hash}
}

// verifyFiles verifies files, each of which goes on where the one before it ends. They are read as
// a stream, so that their size does not matter.
func verifyFiles(names []string) (auditResult, error) {
	var v audit.Verifier
	for _, name := range names {
		f, err := userfile.Open(name)
		if err != nil {
			return auditResult{}, fmt.Errorf("cannot read the audit log: %w", err)
		}
		err = v.Read(f, name)
		f.Close()
		if err != nil {
			return auditResult{}, wrongLine(err)
		}
	}
	return found(v), nil
}

// wrongLine says what is wrong with the log, and what that means.
func wrongLine(err error) error {
	return fmt.Errorf("the audit log is wrong: %w", err)
}

// verifyCluster verifies the files of a coordinator, up to where Raft says that they end. The head
// comes first and the entries after it: what is added meanwhile is behind it, and not asked for.
func verifyCluster(cmd *cobra.Command) (out auditResult, err error) {
	c, err := dial(cmd)
	if err != nil {
		return out, err
	}
	s, err := c.AuditStatus(cmd.Context())
	if err != nil {
		return out, err
	}

	// A coordinator that cannot write its files knows it.
	if s.Files.Problem != "" {
		return out, fmt.Errorf("the audit log of coordinator %s is not whole: %s", s.Coordinator,
			s.Files.Problem)
	}

	// Without a head there are no entries to be read, and none may be there.
	var v audit.Verifier
	if s.Head.Seq > 0 {
		if v, err = verifyUpTo(cmd.Context(), c, s); err != nil {
			return out, err
		}
	}
	if v.Head() != s.Head {
		return out, fmt.Errorf("the audit log is wrong: the files of coordinator %s end with %s, Raft "+
			"has %s; copy the files of another coordinator", s.Coordinator, v.Head(), s.Head)
	}

	out = found(v)
	out.Coordinator = s.Coordinator
	return out, nil
}

// verifyUpTo reads the files of a coordinator up to the head.
func verifyUpTo(ctx context.Context, c *client.Client, s schema.AuditStatus) (v audit.Verifier,
	err error) {
	r, err := c.Audit(ctx, url.Values{"to": {strconv.FormatUint(s.Head.Seq, 10)}})
	if err != nil {
		return v, err
	}
	defer r.Close()
	if err := v.Read(r, s.Coordinator); err != nil {
		return v, wrongLine(err)
	}
	return v, nil
}
