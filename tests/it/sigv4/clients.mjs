// Signs and sends requests with aws4 and @smithy/signature-v4: `node clients.mjs http://127.0.0.1:PORT MODULES`.
// Prints a line a request: name, status, and the status of the same request with one byte changed.
import http from "node:http";
import { createRequire } from "node:module";

const [base, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const aws4 = require("aws4");
const { SignatureV4 } = require("@smithy/signature-v4");
const { Sha256 } = require("@aws-crypto/sha256-js");

const { host, hostname, port } = new URL(base);
const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
// Name, method, path as it is sent, parameters decoded, body.
const cases = [
  ["get", "GET", "/prod/pets", {}, ""],
  ["post", "POST", "/prod/pets", {}, '{"name":"rex"}'],
  ["space", "GET", "/prod/a%20b/c", {}, ""],
  ["slash", "GET", "/prod/a%2Fb", {}, ""],
  ["connection", "POST", "/prod/%40connections/abc%3D", {}, "hello"],
  ["plus", "GET", "/prod/pets", { q: "a+b" }, ""],
  ["unicode", "GET", "/prod/%E1%88%B4", { q: "한" }, ""],
  ["parameters", "GET", "/prod/pets", { x: "", b: "2", a: ["2", "1", "10"] }, ""],
];

const encode = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
const format = (query) => {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => `${encode(name)}=${encode(one)}`));
  return pairs.length ? `?${pairs.join("&")}` : "";
};

const send = (method, path, headers, body) =>
  new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, method, path, headers: { ...headers, host } }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject);
    request.end(body);
  });

const report = async (name, method, path, headers, body) => {
  const bad = body ? [path, body.replace(/^./, "X")] : [path.replace(/^\/prod\/[^?]*/, "$&x"), body];
  const statuses = [await send(method, path, headers, body), await send(method, bad[0], headers, bad[1])];
  console.log(name, ...statuses);
};

for (const [name, method, path, query, body] of cases) {
  const target = path + format(query);
  const options = { host, path: target, method, body: body || undefined, service: "execute-api", region: "us-east-1" };
  const header = aws4.sign({ ...options, headers: {} }, credentials);
  await report(`aws4-${name}`, method, header.path, header.headers, body);
  const presigned = aws4.sign({ ...options, headers: {}, signQuery: true }, credentials);
  if (!body) await report(`aws4-presigned-${name}`, method, presigned.path, presigned.headers, body);

  const signer = new SignatureV4({ credentials, region: "us-east-1", service: "execute-api", sha256: Sha256 });
  const request = { method, protocol: "http:", hostname, port: Number(port), path, query, headers: { host }, body: body || undefined };
  const signed = await signer.sign(request);
  await report(`smithy-${name}`, method, signed.path + format(signed.query), signed.headers, body);
  if (!body) {
    const url = await signer.presign(request, { expiresIn: 300 });
    await report(`smithy-presigned-${name}`, method, url.path + format(url.query), {}, body);
  }
}
