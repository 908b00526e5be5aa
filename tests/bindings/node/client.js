// A client of Gemel from the proto files alone: node client.js PROTO_FOLDER ADDRESS TWIN
// Simulates and calibrates a registered twin on its own data, and prints what came back as JSON.

const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [folder, address, twin] = process.argv.slice(2);
const files = ["twin", "simulation", "calibration"].map((name) => `gemel/v1/${name}.proto`);
const definition = loader.loadSync(files, { includeDirs: [folder], keepCase: true, enums: String, defaults: true });
const { TwinService, SimulationService, CalibrationService } = grpc.loadPackageDefinition(definition).gemel.v1;

function open(Service) {
  return new Service(address, grpc.credentials.createInsecure());
}

function call(service, method, request) {
  return new Promise((resolve, reject) =>
    service[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );
}

async function main() {
  const runs = open(SimulationService);
  const answer = { times: [], readings: [], states: [] };
  for await (const { part } of runs.Simulate({ twin, use_data: true })) {
    if (part.header) answer.sensors = part.header.sensors;
    if (part.frame) {
      answer.times.push(part.frame.time);
      answer.readings.push(part.frame.readings);
    }
  }

  const calibrations = open(CalibrationService);
  const { job } = await call(calibrations, "Calibrate", { twin });
  answer.job = job.id;
  for await (const { job: now } of calibrations.WatchJob({ id: job.id })) {
    answer.states.push(now.state);
    if (now.fit) answer.mean = now.fit.posterior.mean;
  }

  try {
    await call(open(TwinService), "RegisterTwin", { document: 'name = "x"\ncolour = "red"\n' });
  } catch (error) {
    answer.refusal = { code: error.code, details: error.details };
  }
  console.log(JSON.stringify(answer));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
