package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/model/convert"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/terminal"
)

const modelConvertHelp = `Make a model folder, in the layout of Hugging Face diffusers, from files
in another layout: that of Wan's own repositories, or ComfyUI's (names with prefixes, fp8 with
scales).

  longtake model convert Wan2.2-T2V-A14B wan22 --base wan21
  longtake model convert wan2.2_t2v_{high,low}_noise_14B_fp8_scaled.safetensors \
    umt5_xxl_fp16.safetensors wan_2.1_vae.safetensors wan22 --base wan21

IN are .safetensors files and folders of them, OUT is a new folder. What IN lacks (often the
tokenizer, and what Wan publishes as a PyTorch pickle) is copied from --base, a model that is in
diffusers' layout already. high_noise and low_noise in their names tell two transformers apart.
Weights are read and written in pieces, so memory does not grow with them.

Exit codes: 0 done; 1 it could not be made; 2 the request was wrong.`

// convertCommand makes a folder of files in other layouts.
func convertCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "convert IN... OUT", Long: modelConvertHelp,
		Args: cobra.MinimumNArgs(2), Short: "Make a model folder from files in Wan's or ComfyUI's layout"}

	var o convert.Options
	f := cmd.Flags()
	f.StringVar(&o.DType, "dtype", "bf16", "what transformers and text encoder are written in: bf16, "+
		"fp32, or keep: as they are (fp8 becomes bf16)")
	f.IntVar(&o.Heads, "heads", 0, "attention heads of the transformer (default: as its config.json "+
		"says, else as in published models)")
	f.StringVar(&o.Base, "base", "", "model in diffusers' layout from which what is missing is copied")

	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, out := args[:len(args)-1], args[len(args)-1]
		o.Progress = percent(cmd.ErrOrStderr())
		r, err := convert.Convert(cmd.Context(), in, out, o)
		if err != nil {
			return err
		}

		w := cmd.OutOrStdout()
		terminal.Printf(w, "%s: %s with %s\n", out, r.Class, strings.Join(r.Components, ", "))
		if len(r.Copied) > 0 {
			terminal.Printf(w, "copied from %s: %s\n", o.Base, strings.Join(r.Copied, ", "))
		}
		return nil
	}
	return cmd
}

// percent shows progress as a line for every tenth of the work.
func percent(w io.Writer) func(done, total int64) {
	const tenth = 10
	shown := int64(0)
	return func(done, total int64) {
		if now := done * tenth / max(1, total); now > shown {
			shown = now
			terminal.Printf(w, "%d %% of %s\n", tenth*now, plan.Bytes(total))
		}
	}
}
