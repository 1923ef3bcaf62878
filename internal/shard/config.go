package shard

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	natsio "github.com/nats-io/nats.go"

	"github.com/longtake/longtake/internal/engine"
	"github.com/longtake/longtake/internal/model/pool"
	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/topology"
)

// DefaultCache returns the folder that programs use as a Config's Cache by default: one in the
// user's cache, or "" for a user without one.
func DefaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "longtake")
}

// ControlOption is an option of NATS' client.
type ControlOption = natsio.Option

// Config says where a shard runs and which coordinators it works for. The zero value of a field is
// a sensible default, but for Control or ControlOptions, of which one must be set.
type Config struct {
	// Name and Version are for people: of this shard, which need not be unique, and of the program.
	Name    string
	Version string
	// Model is the folder of the model; "" is the embedded demo. Models, where there are any, take its
	// place: the first is loaded at the start, the others when jobs ask for them.
	Model  string
	Models []ModelDir
	// AllModels makes a model that cannot be opened an error also where others can.
	AllModels bool
	// LoRAs are the paths of files by the names under which jobs ask for them; nil: none.
	LoRAs map[string]string
	// Host names the machine, the same for all processes that reach each other without a network; "":
	// the machine's own name. Rack is the label of its rack; "": none.
	Host, Rack string
	// Rates are what the links carry, and Delays how long messages take there, in place of what is
	// measured; 0: that.
	Rates  topology.Rates
	Delays topology.Delays
	// Device is DeviceCPU, DeviceCUDA or DeviceAuto; "" is DeviceCPU. That of a Machine may name GPUs
	// as well, as "cuda:0,1".
	Device string
	// GPU is the number of the GPU, where Device is one.
	GPU int
	// GPUs are those of a Machine: "all", or numbers separated by commas; "": what Device says.
	GPUs string
	// Process is what the shards of this process share, as NewProcess makes it; nil: this one shares
	// nothing. A Machine has one of its own.
	Process *Process
	// Threads is how many threads the CPU device computes with; 0: all cores.
	Threads int
	// DecodeThreads is how many threads rank 0 decodes with, while other shards of the process wait;
	// 0: Threads.
	DecodeThreads int
	// Sharers is how many shards of this process share the memory of its machine; 0: this one alone.
	Sharers int
	// DType names the type that models are loaded for at the start; a job of another one loads its
	// model again. "" and DTypeAuto: DefaultDType of the device.
	DType string
	// VAEDType names what convolutions multiply on a GPU: "fp32", near it, or "bf16"; "" is fp32.
	VAEDType string
	// TextEncoder says where the text encoder is on a GPU; "": resident where plenty is left.
	TextEncoder engine.Residency
	// Experts says where the transformers of a model with two are; "": in memory where they fit.
	Experts engine.Residency
	// Weights is the pool of packed weights that the shards of this process share, as NewPool makes
	// it; nil: one of the shard's own.
	Weights *pool.Pool
	// TempDir is where clips are encoded; "": the system's folder for temporary files.
	TempDir string
	// Cache is a folder that remembers the hashes of a model's files; "": they are read again with
	// every start.
	Cache string
	// Texts keeps the embeddings of texts; shards of a process may share one. nil: one of its own.
	Texts *engine.TextCache
	// ForgetTexts has every text encoded again for each job, whatever is known of it: benchmarks whose
	// rules forbid caches ask for that. Texts and the cluster's cache are then not used.
	ForgetTexts bool
	// Log takes what an operator should know; nil: nothing is logged.
	Log *slog.Logger

	// Identity is this process's certificate: with it all that it sends and takes goes over TLS. nil:
	// the cluster is open.
	Identity *pki.Identity
	// Control is the coordinators' NATS: a URL, or a list separated by commas.
	Control string
	// ControlOptions reach it in other ways, such as within the process; nil: none. It is called once
	// the model is loaded, and may wait.
	ControlOptions func() ([]ControlOption, error)
	// Data is how ranks exchange activations.
	Data DataPlane

	// AfterLoad is called once the weights are loaded, before the memory that they leave for clips is
	// measured; nil: nothing. A program bounds the garbage collector there.
	AfterLoad func()
	// ReleaseMemory is called when much memory has become free: after a rank's denoising and after its
	// clip; nil: nothing. A program gives it back to the system there.
	ReleaseMemory func()

	// afterStep, where set, is called on every rank at its step boundaries: tests hold ranks there.
	afterStep func(ctx context.Context, done int)
	// onLoad, where set, is called before a model is loaded: tests hold loads there, or fail them.
	onLoad     func(ctx context.Context, model string) error
	fenceAfter time.Duration // see Shard.fence; 0: 30 s
}
