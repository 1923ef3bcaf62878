// Uses longtake at BASE_URL through OpenAI's SDK for Node, as its users do.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const picture = readFileSync(process.env.PICTURE);
const client = new OpenAI({
  baseURL: process.env.BASE_URL + "/v1", apiKey: "none", maxRetries: 0,
});
const { videos, models } = client;
const quick = { num_inference_steps: 1, seconds: "1" };

/** Asks until a video is final, as often as the server says. */
async function done(id) {
  for (;;) {
    const { data, response } = await videos.retrieve(id).withResponse();
    if (data.status === "completed" || data.status === "failed") return data;
    const wait = Number(response.headers.get("openai-poll-after-ms"));
    assert(wait >= 100, "openai-poll-after-ms");
    await new Promise((wake) => setTimeout(wake, wait));
  }
}

/** Wants a call to be refused with one of the SDK's errors. */
async function refused(kind, status, call) {
  await assert.rejects(call, (error) => {
    assert(error instanceof kind, String(error));
    assert.equal(error.status, status);
    assert(error.requestID);
    return true;
  });
}

const first = await videos.create({ prompt: "a red ball", model: "sora-2", size: "96x64", ...quick });
assert(first._request_id);
const made = await done(first.id);
assert.deepEqual([made.status, made.seconds, made.size, made.model, made.progress],
  ["completed", "1", "96x64", "sora-2", 100]);

const kinds = { video: "1a45dfa3", thumbnail: "52494646", spritesheet: "ffd8ffdb" };
for (const [variant, magic] of Object.entries(kinds)) {
  const body = await (await videos.downloadContent(made.id, { variant })).arrayBuffer();
  assert.equal(Buffer.from(body).subarray(0, 4).toString("hex"), magic, variant);
}

const remix = await videos.remix(made.id, { prompt: "a blue ball" });
assert.equal(remix.remixed_from_video_id, made.id);
const longer = await videos.extend({ video: { id: made.id }, prompt: "a red ball", seconds: "1" });
const edit = await videos.edit({ video: { id: made.id }, prompt: "a blue ball" });
for (const v of [remix, longer, edit]) assert.equal((await done(v.id)).status, "completed");

const url = "data:image/png;base64," + picture.toString("base64");
for (const input_reference of [
  await toFile(picture, "a.png", { type: "image/png" }), { image_url: url },
]) {
  const v = await videos.create({ prompt: "a ball", input_reference, ...quick });
  assert.equal((await done(v.id)).status, "completed");
}

const page = await videos.list({ limit: 1 });
assert(page.data.length === 1 && page.has_more);
const all = new Set();
for await (const v of videos.list({ limit: 2, order: "asc" })) all.add(v.id);
assert(all.has(made.id) && all.has(remix.id) && all.has(longer.id));

const once = { headers: { "Idempotency-Key": "node-" + made.id } };
const a = await videos.create({ prompt: "once", ...quick }, once);
const b = await videos.create({ prompt: "once", ...quick }, once);
assert.equal(a.id, b.id);
await refused(OpenAI.ConflictError, 409, () => videos.create({ prompt: "twice" }, once));

const model = (await models.list()).data[0];
assert.equal((await models.retrieve(model.id)).id, model.id);

await refused(OpenAI.BadRequestError, 400, () => videos.create({ prompt: "a", size: "big" }));
await refused(OpenAI.NotFoundError, 404, () => videos.retrieve("video_none"));
await refused(OpenAI.NotFoundError, 404, () => models.retrieve("none"));
await refused(OpenAI.InternalServerError, 501, () => videos.getCharacter("char_none"));

for (const v of [made, remix, longer, edit, a]) assert((await videos.delete(v.id)).deleted);
await refused(OpenAI.NotFoundError, 404, () => videos.retrieve(made.id));
