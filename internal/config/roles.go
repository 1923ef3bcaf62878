package config

import (
	"slices"
	"time"
)

// logging are the settings that all programs but the longtake command share. The longtake command
// has its own, with a default that keeps its output clean.
var logging = Settings{
	{Key: "log.level", Default: "info", Usage: "debug, info, warn or error"},
	{Key: "log.format", Default: "text", Usage: "text or json"},
}

// Hosts and origins from which browsers may use the API.
var (
	httpHosts = Setting{Key: "http.hosts", Default: []string{}, Usage: "more host names under which " +
		"clients reach the API, *.NAME for subdomains, * for any; localhost, IP addresses, this " +
		"machine's name and those of http.listen and http.url are always allowed"}
	httpOrigins = Setting{Key: "http.cors-origins", Default: []string{}, Usage: "origins of web " +
		"pages elsewhere that may use the API, such as https://clips.example; * for any (default: none)"}
)

// httpAnonymous is what the API lets everybody do.
var httpAnonymous = Setting{Key: "http.anonymous", Default: []string{"auto"}, Usage: "scopes of " +
	"requests without an API key: none, some of videos:read, videos:write, nodes:read, nodes:write, " +
	"metrics and admin, or auto: on loopback without tls.dir the first three and metrics, with " +
	"insecure-network all, else none"}

// tokens are settings of an identity provider whose tokens are taken besides keys.
var tokens = Settings{
	{Key: "oidc.issuer", Default: "", Usage: "URL of an OpenID Connect provider whose tokens are " +
		"taken as well as keys (default: none are)"},
	{Key: "oidc.audience", Default: "", Usage: "audience that its tokens have to be meant for"},
	{Key: "oidc.scopes", Default: []string{}, Usage: "what its users may do, by their claims, as " +
		"CLAIM=VALUE:SCOPES: such as groups=video:videos:read,videos:write"},
	{Key: "oidc.team-claim", Default: "", Usage: "claim with the team of its users (default: none)"},
}

// clients are settings for requests as clients of other servers send them.
var clients = Settings{
	{Key: "http.model-aliases", Default: []string{}, Usage: "names of other models that stand for " +
		"the default one, as NAME, or for another one, as NAME=MODEL: such as sora-2"},
	{Key: "http.default-model", Default: "", Usage: "model of requests that name none (default: the " +
		"first that a shard came with)"},
	{Key: "http.default-format", Default: "webm", Usage: "of clips whose request names none: webm, " +
		"mp4 (what most samples for other servers save; shards need ffmpeg for it) or png"},
	{Key: "http.fetch-urls", Default: "off", Usage: "pictures that clips start from, where requests " +
		"have URLs: off, https, or any (http too); never from addresses that are not public"},
	{Key: "http.generations", Default: false, Usage: "answer POST /v1/videos/generations, which " +
		"waits for its clip, as TensorRT-LLM does and MLPerf's client for endpoints wants"},
	{Key: "http.generations-dir", Default: "", Usage: "folder in which that route leaves clips for " +
		"clients that ask for a path (default: they have to ask for the bytes)"},
	{Key: "http.generations-bytes", Default: Bytes(10 << 30), Usage: "what the clips in that folder " +
		"may take together; the oldest go first"},
	{Key: "http.generations-latents", Default: "", Usage: "folder whose files that route reads " +
		"where requests have a latent_path (default: they may not have one)"},
}

// requestTime keeps a client from asking for days of work without knowing it.
var requestTime = Setting{Key: "limits.request-time", Default: 24 * time.Hour, Usage: "how long " +
	"a clip may be predicted to take: longer ones are refused, unless the request says force; " +
	"0s: no limit"}

// pricing is what clips cost.
var pricing = Setting{Key: "pricing", Default: "", Usage: "YAML file with the prices of device " +
	"time and models, the same on all coordinators: see longtake pricing check (default: clips cost " +
	"nothing)"}

// storage bounds what jobs take of the disk, while they run and afterwards.
var storage = Settings{
	{Key: "limits.disk", Default: Bytes(0), Usage: "what stored clips and checkpoints may take of " +
		"the disk, such as 200GB; beyond that, new ones are refused. 0: the disk, less the reserve"},
	{Key: "limits.disk-reserve", Default: Bytes(0), Usage: "free bytes of the disk below which no " +
		"more jobs and checkpoints are taken; 0: 5 % of the disk, from 16MiB to 256MiB"},
	{Key: "limits.keep-for", Default: time.Duration(0), Usage: "how long a finished job and its " +
		"clip are kept, such as 720h; 0s: as long as there are not too many"},
	{Key: "limits.keep-bytes", Default: Bytes(0), Usage: "what the clips of finished jobs may take " +
		"together; the oldest go first. 0: as much as limits.disk allows"},
}

// Coordinator returns the settings of cmd/coordinator.
func Coordinator() Settings {
	return slices.Concat(Settings{
		{Key: "id", Default: "c1", Usage: "name of this coordinator, unique among its peers"},
		{Key: "data", Default: "data/coordinator",
			Usage: "directory of decisions and stored objects; what is in it survives a restart"},
		{Key: "http.listen", Default: "127.0.0.1:8080", Usage: "host:port of the HTTP API"},
		{Key: "http.url", Default: "",
			Usage: "URL under which clients reach the API (default: http.listen, with http:// or, " +
				"with tls.dir, https://)"},
		httpHosts, httpOrigins, httpAnonymous,

		// Where shards and the other coordinators connect.
		{Key: "nats.listen", Default: "127.0.0.1:4222", Usage: "host:port that shards connect to"},
		{Key: "nats.routes", Default: "",
			Usage: "host:port at which the other coordinators' NATS servers connect; needs raft.peers"},
		{Key: "nats.peers", Default: []string{},
			Usage: "the other coordinators' nats-route://host:port"},
		{Key: "nats.private", Default: false, Usage: "do not tell shards of the other coordinators' " +
			"NATS servers: for shards that reach those they list through a proxy or NAT"},
		{Key: "raft.listen", Default: "",
			Usage: "host:port at which the other coordinators' Raft connects; needs raft.peers"},
		{Key: "raft.peers", Default: []string{},
			Usage: "all coordinators as ID@RAFT_HOST:PORT=HTTP_URL, this one included; none: alone"},
		{Key: "raft.join", Default: false, Usage: "wait to be added to a cluster that exists (longtake " +
			"cluster members add), instead of founding one with the peers"},

		// What the cluster takes on.
		{Key: "limits.queued", Default: 1000, Usage: "jobs that may wait"},
		{Key: "limits.kept", Default: 10000, Usage: "jobs that are remembered"},
		{Key: "limits.nodes", Default: 1024, Usage: "shards that may register"},
		requestTime,
		{Key: "limits.request-tokens", Default: 1 << 25, Usage: "tokens that a clip may have in all; " +
			"longtake plan says how many it has"},
		pricing,

		// How attempts are protected and watched.
		{Key: "checkpoint.every-steps", Default: 1, Usage: "denoising steps between checkpoints, from " +
			"which a clip goes on when a shard is lost; 0: none are written"},
		{Key: "preview.every-steps", Default: 1, Usage: "least denoising steps between previews, which " +
			"come with checkpoints; where steps are short there are fewer; 0: none are made"},
		{Key: "lost-after", Default: 3 * time.Second,
			Usage: "how long a shard may be silent before it counts as lost"},
	}, storage, auditing, clients, tokens, network, certLife, joining, logging)
}

// experts is of the shards that load a model, wherever they run.
var experts = Setting{Key: "experts", Default: "auto", Usage: "which transformers of a model " +
	"with two (Wan 2.2 A14B) are in memory. resident: both; swap: one at a time; auto: both where " +
	"they fit"}

// loras are names under which requests ask for LoRAs.
var loras = Setting{Key: "loras", Default: []string{}, Usage: "LoRA files that requests may ask " +
	"for by name, as NAME=PATH: such as paint=/models/paint.safetensors"}

// device is where shards compute, wherever they run.
var device = Setting{Key: "device", Default: "auto", Usage: "where the model runs: cpu, cuda " +
	"(GPUs; needs a program built by make cuda), cuda:0,1 (these GPUs), or auto, GPUs where there " +
	"are some"}

// vaeDType is how GPUs convolve, wherever they are.
var vaeDType = Setting{Key: "vae-dtype", Default: "fp32", Usage: "what the VAE's convolutions " +
	"multiply on GPUs: fp32, near it by three products of bfloat16; or bf16, one product, faster " +
	"and less exact. The same on all shards of a cluster"}

// Devices returns the settings of what the shards of one process compute on.
func Devices() Settings {
	return Settings{device, {Key: "gpus", Default: "", Usage: "the GPUs to use: all, or numbers " +
		"such as 0,1 (default: all that there are, unless device says otherwise)"}, vaeDType}
}

// Shard returns the settings of cmd/shard.
func Shard() Settings {
	return slices.Concat(Settings{
		{Key: "name", Default: "", Usage: "name that people see (default: the host's)"},
		{Key: "host", Default: "", Usage: "label of the machine, the same for all shards on it " +
			"(default: its name; containers of one machine have to set it)"},
		{Key: "rack", Default: "", Usage: "label of the machine's rack: jobs cross racks last " +
			"(default: none)"},
		{Key: "bandwidth", Default: []string{}, Usage: "bytes a second that links carry, in place of " +
			"what is measured: process=, host=, network= and racks=, such as network=1.2GB"},
		{Key: "delay", Default: []string{}, Usage: "how long messages take on links, in place of what " +
			"is measured: the same keys, such as network=10ms"},
		{Key: "model", Also: "models", Default: Paths{}, Usage: "folder of a Wan model as diffusers " +
			"writes it, or NAME=FOLDER; several times for several models, of which jobs name one " +
			"(default: the small one that is built in)"},
		loras,
		device,
		{Key: "gpus", Default: "", Usage: "a shard on each of these GPUs: all, or numbers such as 0,1 " +
			"(default: one shard, as device says)"},
		{Key: "threads", Default: 0, Usage: "threads that compute on the CPU; 0: all cores"},
		{Key: "dtype", Default: "auto", Usage: "what the model is loaded for: fp32, bf16, fp8, or " +
			"auto, bf16 on GPUs and fp32 on CPUs; a job of another type loads it again"},
		vaeDType,
		experts,
		{Key: "text-encoder", Default: "auto", Usage: "how the text encoder is in a GPU's memory. " +
			"resident: whole; stream: layer by layer, for each new text; auto: whole where plenty is left"},

		{Key: "forget-texts", Default: false, Usage: "encode every text again for each clip, as rules " +
			"of benchmarks want it, instead of remembering what was encoded"},

		// The coordinators, and how other shards reach this one.
		{Key: "control", Default: "nats://127.0.0.1:4222",
			Usage: "the coordinators' NATS, separated by commas"},
		{Key: "data.listen", Default: "127.0.0.1:0",
			Usage: "host:port at which other shards send activations; port 0: any"},
		{Key: "data.advertise", Default: "",
			Usage: "host:port that other shards dial (default: where data.listen ended up)"},
		{Key: "data.url", Default: "",
			Usage: "a NATS cluster to exchange activations over, in place of an own server; " +
				"tls://host:port over TLS"},
		{Key: "data.transport", Default: "auto", Usage: "how activations go. nats; direct: by TCP " +
			"connections of their own to shards that do so, too, and over NATS to the others; auto: " +
			"direct with tls.dir, else nats"},
		{Key: "data.direct-addr", Default: "", Usage: "host:port at which other shards connect " +
			"directly (default: the host of data.listen, any port)"},
		{Key: "data.direct-advertise", Default: "", Usage: "host:port that they dial (default: the " +
			"host of data.advertise, if any, and the port where data.direct-addr ended up)"},
		{Key: "data.direct-connections", Default: 4,
			Usage: "direct connections to each process that this one dials"},
		{Key: "data.peer-timeout", Default: 30 * time.Second,
			Usage: "how long another rank may be silent before it is reported and the attempt ends"},

		// The process.
		{Key: "drain-timeout", Default: time.Minute, Usage: "on SIGTERM, how long the shard may finish " +
			"its step and hand its work over; 0s: not at all"},
		{Key: "tmp", Default: "", Usage: "directory for clips being encoded (default: the system's)"},
		{Key: "cache", Default: "", Usage: "directory for fingerprints of models, so that a " +
			"restart need not read an unchanged one whole (default: longtake in the user's cache " +
			"directory)"},
	}, network, joining, logging)
}

// Client returns the settings of the longtake command itself; its subcommands have flags of their
// own.
func Client() Settings {
	return Settings{
		{Key: "coordinator", Default: "", Env: "LONGTAKE_URL",
			Usage: "URL of a coordinator's API, such as http://127.0.0.1:8080"},
		{Key: "ca", Default: "", Usage: "PEM file of the CA of coordinators with https URLs, or a " +
			"folder with a ca.crt (default: the CAs of the system)"},
		{Key: "api-key", Default: "", Secret: true, Usage: "key for the coordinator, lt_...; a flag is " +
			"seen by other users of the machine (ps), so rather set LONGTAKE_API_KEY or api-key-file"},
		{Key: "api-key-file", Default: "", Usage: "file with the key (default: the local key, for " +
			"coordinators that the same user runs on this machine without tls.dir)"},
		{Key: "log.level", Default: "error", Usage: "debug, info, warn or error"},
		{Key: "log.format", Default: "text", Usage: "text or json"},
	}
}

// Local returns the settings of a cluster in one process, as generate starts one for a clip.
func Local() Settings {
	return append(Settings{
		{Key: "model", Also: "models", Default: Paths{}, Usage: "folder of a Wan model as diffusers " +
			"writes it, or NAME=FOLDER; several times for several models, of which jobs name one " +
			"(default: the small one that is built in)"},
		{Key: "shards", Default: 0, Usage: "how many shards share the work (default: one on each " +
			"GPU, or 2 on a CPU)"},
		{Key: "threads", Default: 0, Usage: "threads of each shard on a CPU (default: the cores, " +
			"shared out)"},
		experts,
		{Key: "transport", Default: "nats", Usage: "how shards exchange activations: nats or mem"},
		requestTime,
		pricing,
	}, Devices()...)
}

// Up returns the further settings of a cluster in one process that runs until it is stopped.
func Up() Settings {
	return slices.Concat(Settings{
		{Key: "listen", Default: "127.0.0.1:8080", Usage: "host:port of the HTTP API"},
		{Key: "data", Default: "data/up", Usage: "directory of jobs and clips"},
		loras,
		httpHosts, httpOrigins, httpAnonymous,
	}, storage, clients, tokens, network)
}
