// Appends the recording chunk by chunk as it is stored. A run of the encoder begins with its own init segment:
// where the codec changes with it, the buffer is told; where its time begins is in what comes with each chunk.
"use strict";

const video = document.querySelector("video");
const state = document.querySelector("#state");
const KEPT_SECONDS = 300; // of what was shown, to look back

function done(target) {
  return new Promise((resolve, reject) => {
    target.addEventListener("updateend", resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("the browser cannot play this chunk")), { once: true });
  });
}

function change(buffer, what) {
  const changed = done(buffer);
  what();
  return changed;
}

// What was not recorded is a hole in the time line: playing goes on behind it.
function skipHole() {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (currentTime < buffered.start(i) && !video.seeking) {
      video.currentTime = buffered.start(i);
      return;
    }
    if (currentTime < buffered.end(i) - 0.2) return;
  }
}

async function show() {
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
  let buffer, kind;
  for (let index = Number(document.body.dataset.first); ; ) {
    const answer = await fetch(`pieces/${index}`);
    if (answer.status === 204) continue; // nothing yet: ask again
    if (answer.status === 410) {
      if (source.readyState === "open") source.endOfStream();
      state.textContent = "the recording has ended";
      return;
    }
    if (!answer.ok) throw new Error(await answer.text());
    const next = `video/mp4; codecs="${answer.headers.get("Lucid-Codec")}"`;
    if (!buffer) buffer = source.addSourceBuffer(next);
    else if (next !== kind) buffer.changeType(next);
    kind = next;
    const data = await answer.arrayBuffer();
    const behind = video.currentTime - KEPT_SECONDS;
    if (behind > 0) await change(buffer, () => buffer.remove(0, behind));
    buffer.timestampOffset = Number(answer.headers.get("Lucid-Offset"));
    await change(buffer, () => buffer.appendBuffer(data));
    index += 1;
    state.textContent = `${index} chunks`;
    skipHole();
  }
}

setInterval(skipHole, 500);
show().catch((error) => {
  state.textContent = error.message;
});
