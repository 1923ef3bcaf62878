package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/terminal"
	"github.com/longtake/longtake/internal/userfile"
)

const modelVerifyHelp = `Print the SHA-256 of every file of a model, as sha256sum does, and the
fingerprint by which a cluster knows the model. All of it is read: every value of the weights has to
be finite, too.

  longtake model verify /models/Wan2.1
  longtake model verify /models/Wan2.1 > wan.sums         # where it is known to be good
  longtake model verify /models/Wan2.1 --sums wan.sums    # elsewhere, or a year later

--sums takes lists as sha256sum and BSD's sha256 write them, with files as seen from the model's
folder. Each file of the list and of the model is told: OK, FAILED (its bytes differ), MISSING (in
the list alone) or NOT LISTED (in the model alone). Shards of one cluster have to hold the same
bytes; a shard whose fingerprint differs is refused.

Exit codes: 0 all is as it should be; 1 a file differs, is missing or is damaged, or weights are not
listed; 2 the request was wrong.`

// modelCommand checks the files of a model, without a cluster, and lists those of one. A check
// reads all of the files, so tens of gigabytes take minutes. Nothing is written: sums go to stdout,
// for a file or for another tool.
func modelCommand() *cobra.Command {
	verify := &cobra.Command{Use: "verify DIR", Long: modelVerifyHelp, Args: cobra.ExactArgs(1),
		Short: "Hash a model's files, and compare them with a list"}

	list := verify.Flags().String("sums", "", "file of SHA-256 to compare with")
	js := asJSON(verify)

	verify.RunE = func(cmd *cobra.Command, args []string) error {
		v := verification{dir: args[0], js: *js, out: cmd.OutOrStdout()}
		if cmd.Flags().Changed("sums") {
			// A list that cannot be read fails before minutes of hashing.
			data, err := userfile.Read(*list, model.SumsLimit)
			if err == nil {
				v.want, err = model.ParseSums(data)
			}
			if err != nil {
				return daemon.Usagef("--sums %.200s: %w", *list, err)
			}
		}
		return v.run(cmd.Context())
	}
	return group(&cobra.Command{Use: "model", Short: "Look after the files of a model, and see " +
		"those that a cluster serves"}, verify, inspectCommand(), convertCommand(), modelList())
}

// verification is one run of `longtake model verify`.
type verification struct {
	dir string
	// want has the SHA-256 in hexadecimal by file, as seen from dir; nil without --sums, and then
	// nothing can be missing or differ.
	want map[string]string
	js   bool
	out  io.Writer
	// bad counts the files that are not as they should be; any makes the exit code 1.
	bad int
}

// run prints the sums of all files and the model's fingerprint. Its error counts the files that are
// not as listed, and says what is wrong with the weights.
func (v *verification) run(ctx context.Context) error {
	sums, err := model.Sums(ctx, v.dir)
	if err != nil {
		return daemon.Usagef("%w", err)
	}

	// The model's files come in alphabetical order, then those of the list that were not among them.
	missing := maps.Clone(v.want)
	for _, s := range sums {
		delete(missing, s.File)
		if err := v.tell(s, v.status(s)); err != nil {
			return err
		}
	}
	for _, file := range slices.Sorted(maps.Keys(missing)) {
		if err := v.tell(model.Sum{File: file, SHA256: missing[file]}, "MISSING"); err != nil {
			return err
		}
	}

	// The weights are read even where a file differs: a value that is not finite says more than a sum.
	err = v.weights()
	if v.bad > 0 {
		err = errors.Join(fmt.Errorf("%d of the model's files are not those of the list; get them again",
			v.bad), err)
	}
	return err
}

// status compares a file with the list; "" without one. The words are those of sha256sum -c, and
// two more.
func (v *verification) status(s model.Sum) string {
	switch want, listed := v.want[s.File]; {
	case v.want == nil:
		return ""
	case !listed:
		return "NOT LISTED"
	case want != s.SHA256:
		return "FAILED"
	}
	return "OK"
}

// tell prints a file and counts it if it is not as it should be. A file that is not listed counts
// only where it holds weights: lists of what a hub stores apart have those alone.
func (v *verification) tell(s model.Sum, status string) error {
	if status == "FAILED" || status == "MISSING" ||
		status == "NOT LISTED" && path.Ext(s.File) == ".safetensors" {
		v.bad++
	}

	switch {
	case v.js:
		return terminal.JSON(v.out, struct {
			model.Sum
			Status string `json:"status,omitempty"`
		}{s, status})
	case status == "":
		terminal.Printf(v.out, "%s  %s\n", s.SHA256, s.File)
	default:
		terminal.Printf(v.out, "%s: %s\n", s.File, status)
	}
	return nil
}

// weights opens the model as a shard does, reads every value of its weights, and prints the
// fingerprint. Values that are not finite are the error. A file that cannot be opened as a model at
// all is an error, too, also if all sums are right.
func (v *verification) weights() error {
	f, err := model.Open(v.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := f.Survey("")
	if err != nil {
		return err
	}

	// Shards of one cluster are compared by this text, so it is the line to keep for later.
	print := job.FingerprintKind + s.Fingerprint
	if v.js {
		err = terminal.JSON(v.out, map[string]string{"fingerprint": print})
	} else {
		terminal.Printf(v.out, "# fingerprint %s\n", print) // a comment to sha256sum
	}
	if s.Damage != nil {
		err = errors.Join(err, s.Damage)
	}
	return err
}
