/** Loaded before the program: its wall clock is off, and what it sends to one port goes to another. */
import net from "node:net";

const offMs = Number(process.env["TORTURE_CLOCK_OFF_MS"] ?? 0);
const [from = "", to = ""] = (process.env["TORTURE_WAY"] ?? "").split(":");
const RealDate = Date;
const realConnect = net.connect;

class OffDate extends RealDate {
  constructor(...given: ConstructorParameters<DateConstructor> | []) {
    if (given.length === 0) super(OffDate.now());
    else super(...given);
  }

  static override now(): number {
    return RealDate.now() + offMs;
  }
}

Object.assign(globalThis, { Date: OffDate });

// a way of its own under the common address: that one is part of what names the key
Object.assign(net, {
  connect: (options: net.NetConnectOpts, ...rest: []) => {
    const isAstray = "port" in options && String(options.port) === from;
    return realConnect(isAstray ? { ...options, port: Number(to) } : options, ...rest);
  },
});
