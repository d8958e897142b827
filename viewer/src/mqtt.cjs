// The two parts of mqtt.js that a browser needs. Its ready-made bundle brings every transport and 140 KB more.
module.exports = {
  MqttClient: require('mqtt/lib/client').default,
  browserStreamBuilder: require('mqtt/lib/connect/ws').browserStreamBuilder,
};
