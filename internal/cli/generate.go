package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/longtake/longtake/internal/api/client"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/local"
	"github.com/longtake/longtake/internal/plan"
	"github.com/longtake/longtake/internal/shard"
)

// An interrupted command should end soon, whether or not the coordinator still answers. 5 s is more
// than a coordinator that lives takes to answer; Ctrl-C again ends the process at once.
const cancelTime = 5 * time.Second // to tell a coordinator that nobody waits any more

// generateHelp teaches by examples, from the shortest command to a model of one's own.
const generateHelp = `Generate a clip from a text, a picture or a video.

  longtake generate -p "a red ball bouncing over the sea at sunset"
  longtake generate -p "..." --size 96x64 --seconds 2 --seed 7 -o ball.webm
  longtake generate -p "..." --frames 1 -o picture/             an image, as PNG
  longtake generate -p "..." --seconds 60                       a minute, in windows
  longtake generate --storyboard scenes.yaml --seconds 8        scenes that blend
  longtake generate -p "..." --image picture.png                starts from a picture
  longtake generate -p "..." --image a.png --last-image b.png   and ends with another one
  longtake generate -p "..." --video in.mp4 --strength 0.7      changes a video
  longtake generate -p "..." --video in.mp4 --mask mask.png --reference cat.png   by a VACE model
  longtake generate -p "..." --lora paint.safetensors:0.7       with a LoRA, weaker than trained
  longtake generate -p "..." --lora lightx2v.safetensors --preset 4step   distilled: few steps
  longtake generate -p "..." --save-latents ball.safetensors    keeps what a clip can go on from,
  longtake generate -p "..." --extend ball.safetensors --seconds 2   for 2 seconds more
  longtake generate -p "..." --latent latent.pt                 begins with it, not with noise
  longtake generate -p "..." --model path/to/Wan2.1-T2V-1.3B-Diffusers --size 832x480 --frames 81
  longtake generate -p "..." --device cuda:0,1                  on two GPUs, not on all
  longtake generate -p "..." --coordinator URL --model Wan2.1   a model that the cluster serves
  longtake generate -p "..." --seconds 60 --estimate            what that would take and cost

Without --coordinator (or LONGTAKE_URL) it starts a whole cluster in this process, uses it
through its HTTP API and stops it. -o takes a .webm or .mp4 file (mp4 needs ffmpeg) or a
folder, which receives PNG frames. What is left out takes the model's defaults. The same
seed gives the same latents, byte for byte, on any number of shards, meshes and threads.

Where this program was built by "make cuda" and the machine has NVIDIA GPUs, each of them
is a shard; --device cpu does without.

--image needs a model that starts from pictures: the built-in one, Wan 2.2 TI2V-5B, or an
image-to-video model of Wan, which needs a picture. --last-image needs Wan 2.2 I2V-A14B or a
first-and-last-frame model (FLF2V). "longtake model inspect DIR" says what a model takes.

--extend needs a model that was trained for it, such as the built-in one. It takes latents, or with
a coordinator the id of a video, whose settings then hold where no flag is given. --seconds or
--frames say how much is added; the result is the whole clip.`

// generation is one run of generate: what was asked for, where it goes, and, without a coordinator,
// the cluster that is started for it.
type generation struct {
	// What clip, as its flags say; and the files that it is made from, if any.
	request job.Request
	inputs  clipInputs

	// Where the results go, and how progress and the summary are shown.
	out  output
	json bool
	// estimate: the clip is not made.
	estimate bool

	// The settings, and the cluster of this process that follows from them. With a coordinator,
	// local is zero.
	values  *config.Values
	local   local.Config
	stdout  io.Writer
	stderr  io.Writer
	started time.Time
}

// generateCommand generates one clip and waits for it. Its flags are those of the fields of a
// request, and the settings of a local cluster. The result goes to the path of -o and a summary to
// stdout, progress and notices to stderr. An interrupted command cancels its job.
func generateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "generate", Long: generateHelp, Args: promptInFlag,
		Short: "Generate a clip from a text, a picture or a video"}
	f := cmd.Flags()
	f.StringP("output", "o", "clip.webm", "file or folder to write")
	f.String("save-latents", "", "also write the latents, as safetensors")

	js := asJSON(cmd)
	f.Bool("estimate", false, "say what the clip would take and cost, and do not make it")
	// Settings first: --shards and --threads are fields of a request as well, and keep the help and
	// the defaults of the settings.
	config.Local().Define(f)
	defineInputs(f)
	r := &job.Request{}
	defineFields(f, r, func(job.Field) bool { return true })

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		// Both steps may fail with an error about a field, which has to name the flag.
		g, err := readGeneration(cmd, *r, *js)
		if err != nil {
			return inFlags(err)
		}
		return inFlags(g.run(cmd.Context()))
	}
	return cmd
}

// readGeneration reads the flags and checks all that can be checked without a model: mistakes are
// told before a model of gigabytes is opened. An error is one of daemon's usage errors, or a
// *job.FieldError, which inFlags words.
func readGeneration(cmd *cobra.Command, r job.Request, js bool) (*generation, error) {
	g := &generation{request: r, json: js, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(),
		started: time.Now()}
	f := cmd.Flags()
	g.estimate, _ = f.GetBool("estimate")

	// Settings come first: with a coordinator, --extend may name one of its videos.
	var err error
	if g.values, err = load(cmd, config.Local()); err != nil {
		return nil, err
	}
	// Something has to be shown: a prompt, scenes, or the video that the clip goes on from.
	if g.inputs, err = readInputs(f, g.values.String("coordinator") != ""); err != nil {
		return nil, err
	}
	if !f.Changed("prompt") && !f.Changed("storyboard") && g.inputs.video == "" {
		return nil, daemon.Usagef(`the prompt is missing; say -p "..." (an empty one is allowed)`)
	}
	if f.Changed("storyboard") {
		if g.request.Scenes, err = readStoryboard(f.Lookup("storyboard").Value.String()); err != nil {
			return nil, err
		}
	}

	if f.Changed("shards") { // a setting that is a field, too
		g.request.Shards, _ = f.GetInt("shards")
	}

	// The path decides on the format.
	path, _ := f.GetString("output")
	latents, _ := f.GetString("save-latents")
	if g.out, err = checkOutput(path, latents); err != nil {
		return nil, err
	}
	g.request.Format = string(g.out.Format)

	if g.values.String("coordinator") != "" {
		return g, cmp.Or(g.checkRemote(), g.readLoRAs(true))
	}

	// From here on the clip is made in this process.
	// mp4 needs ffmpeg on the machine that encodes, which is this one.
	if err := g.out.Format.Available(); err != nil {
		return nil, daemon.Usage(err)
	}
	log, err := daemon.Logger(g.values, g.stderr)
	if err != nil {
		return nil, err
	}

	// A mesh says how many shards there are, unless --shards does.
	shards := 0 // as the settings say
	if m := g.request.Mesh; m != (job.Mesh{}) {
		shards = m.Size()
	}
	if g.local, err = local.Read(g.values, shards, log); err != nil {
		return nil, err
	}
	// One clip is of one model: of several flags the last one counts, as of any other.
	if n := len(g.local.Models); n > 0 {
		g.local.Models = g.local.Models[n-1:]
	} else {
		g.local.Models = []shard.ModelDir{{}}
	}
	if err := checkDType(g.request.DType); err != nil {
		return nil, err
	}
	g.local.DType = g.request.DType
	return g, g.readLoRAs(false)
}

// checkRemote refuses flags that say how a cluster of this process would run: one with a
// coordinator has shards of its own, and a flag that is ignored misleads. A value from the
// environment is no reason to refuse: it was not typed for this clip. --model names one of the
// models that the coordinator serves.
func (g *generation) checkRemote() error {
	if m := g.values.Paths("model"); strings.HasPrefix(g.values.Source("model"), "flag") {
		g.request.Model = m[len(m)-1]
		if strings.ContainsAny(g.request.Model, `/\`) {
			return daemon.Usagef("--model is %q, a folder, which does not go with a coordinator (%s); "+
				"allowed: the name of a model that it serves", g.request.Model,
				g.values.Source("coordinator"))
		}
	}

	for _, key := range []string{"threads", "transport", "experts", "device", "gpus", "vae-dtype",
		"pricing"} {
		if strings.HasPrefix(g.values.Source(key), "flag") {
			return daemon.Usagef("--%s does not go with a coordinator (%s), whose shards have "+
				"theirs; leave one out",
				key, g.values.Source("coordinator"))
		}
	}
	return nil
}

// run makes the clip, on the cluster of the coordinator or on one that it starts and stops. A local
// cluster is used through its HTTP API, so that both ways are one path of code.
func (g *generation) run(ctx context.Context) (err error) {
	defer g.inputs.close()
	if err := g.inputs.open(ctx); err != nil {
		return err
	}

	url, connect := g.values.String("coordinator"), clientOf
	if url == "" {
		// A request that no cluster could carry out ends here, in a second or so, instead of after the
		// weights are loaded.
		if err := g.preflight(ctx); err != nil {
			return err
		}
		cluster, err := local.Start(ctx, g.local)
		if err != nil {
			return err
		}
		// The clip is fetched by then: closing removes the cluster's data.
		defer func() { err = errors.Join(err, cluster.Close()) }()
		url, connect = cluster.URL, ownClient
	}

	c, err := connect(g.values, url)
	if err != nil {
		return err
	}
	if g.estimate {
		return g.estimateAt(ctx, c)
	}
	v, err := makeVideo(ctx, c, g.queue, newReporter(g.json, g.stdout, g.stderr))
	if err != nil {
		return err
	}
	// The summary comes last, so that a script that sees it finds the files.
	if err := g.out.fetch(ctx, c, v); err != nil {
		return err
	}
	return g.summarise(v)
}

// preflight judges the request as a coordinator would, before a cluster is started for it: the
// fields, the mesh, and whether this machine makes the clip in the time and memory that are
// allowed. It reads the configuration and the headers of the weights, not the weights. What passes
// is told where it will be computed. A coordinator that is asked by --coordinator does all of this
// itself, for its own model.
func (g *generation) preflight(ctx context.Context) error {
	folder, err := shard.OpenModel(g.local.Models[0].Dir)
	if err != nil {
		return daemon.Usage(err)
	}
	defer folder.Close()
	m, err := engine.Describe(folder)
	if err != nil {
		return daemon.Usage(err)
	}

	files, notices, err := shard.LoRAFiles(ctx, folder, g.local.LoRAs)
	if err != nil {
		return daemon.Usagef("--lora: %w", err)
	}
	m.LoRAs, m.Defaults.DType = files, g.local.DefaultDType()

	printNotices(g.stderr, append(notices, m.Notices...))
	r, err := g.inputs.request(ctx, g.request, m)
	if err != nil {
		return err
	}
	s, err := m.Resolve(r, nil)
	if err != nil {
		return err
	}

	// A mesh, or a number of shards, that cannot share the clip. Which of the two is to blame
	// depends on which was given.
	if _, err := plan.Mesh(m, s, g.local.Shards, 0); err != nil {
		field, value := "shards", fmt.Sprint(s.Shards)
		if g.request.Mesh != (job.Mesh{}) {
			field, value = "mesh", s.Mesh.String()
		}
		return &job.FieldError{Field: field, Value: value, Allowed: err.Error()}
	}

	// --force lifts the limit on time, but not those on tokens and memory.
	offers, err := g.local.Offers(m)
	if err != nil {
		return err
	}
	limits := plan.Limits{Time: g.local.RequestTime, Tokens: job.ClipTokensLimit}
	if err := plan.CheckLimits(m, s, offers, limits, r.Force); err != nil {
		return err
	}
	return printComputing(g.stderr, g.local, s.DType)
}

// queue creates the video, with the files that it is made from. makeVideo calls it once; the client
// repeats it as needed.
func (g *generation) queue(ctx context.Context, c *client.Client) (schema.Video, error) {
	return g.inputs.queue(ctx, c, g.request)
}

// makeVideo has a video queued and follows it to its end, telling rep. When ctx ends meanwhile
// (Ctrl-C), the job is cancelled, within cancelTime: shards should not go on with what nobody waits
// for. The error of a video that failed is the job's.
func makeVideo(ctx context.Context, c *client.Client, queue func(context.Context, *client.Client) (
	schema.Video, error), rep reporter) (schema.Video, error) {
	v, err := queue(ctx, c)
	if err != nil {
		return v, err
	}

	defer rep.end()
	id := v.ID
	if v, err = c.Watch(ctx, id, following(rep)); err != nil {
		// The command was interrupted; any other error is the coordinator's.
		if ctx.Err() != nil {
			// ctx has ended, and would end the request that cancels with it.
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
			defer cancel()
			if _, cerr := c.Cancel(late, id); cerr != nil {
				return v, fmt.Errorf("interrupted; job %s goes on, as it cannot be cancelled: %w", id, cerr)
			}
			return v, fmt.Errorf("interrupted; job %s is cancelled", id)
		}
		return v, err
	}

	// Its message is the coordinator's, for people; the exit code is 1.
	if v.Error != nil {
		return v, fmt.Errorf("job %s: %s", id, v.Error.Message)
	}
	return v, nil
}
