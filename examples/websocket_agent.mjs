// A program that answers calls: greets, echoes, tells the keys, hangs up at `#`. The protocol: docs/websocket-agent.md.
//
//     npm install ws && node examples/websocket_agent.mjs 9000
//     GATEWAY_AGENT=websocket GATEWAY_AGENT_OPTIONS='{"url": "ws://127.0.0.1:9000/"}' telnyx-gateway serve

import { WebSocketServer } from "ws";

const RATE = 16000;
const beep = Buffer.alloc((RATE / 5) * 2);
for (let n = 0; n < RATE / 5; n++) {
  beep.writeInt16LE(Math.round(9000 * Math.sin((2 * Math.PI * 440 * n) / RATE)), 2 * n);
}

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
server.on("listening", () => console.log("ready", server.address().port));
server.on("connection", (call) => {
  const send = (message) => call.send(JSON.stringify(message));
  call.on("error", () => console.log("lost"));
  call.on("message", (data, isBinary) => {
    if (isBinary) {
      call.send(data); // what the caller says is said back
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "start") {
      console.log("call", message.call.call_control_id);
      send({ type: "configure", sample_rate: RATE });
      call.send(beep);
      send({ type: "mark", name: "greeted" });
    } else if (message.type === "dtmf" && message.digit === "#") {
      send({ type: "clear" });
      send({ type: "hangup", id: "bye" });
    } else if (["dtmf", "mark", "result", "error", "stop"].includes(message.type)) {
      console.log(JSON.stringify(message));
    }
  });
});
